"""`graphengine models`"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

pytestmark = pytest.mark.usefixtures("no_network")

UNET = {"conv_in.weight": (320, 4, 3, 3), "time_embedding.linear_1.weight": (8, 8), "down_blocks.0.x": (2,)}
CROSS = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight"


def weights(**shapes: tuple[int, ...]) -> dict[str, torch.Tensor]:
    return {
        name.replace("__", "."): torch.zeros(shape, dtype=torch.float16) for name, shape in shapes.items()
    }


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model root with a LoRA, a U-Net, a damaged file, a pickle and an embedding with a title."""
    root = tmp_path / "root"
    for folder in ("loras", "unet", "embeddings"):
        (root / folder).mkdir(parents=True)
    thin = {
        "lora_unet_x_attn2_to_k.lora_down.weight": (4, 768),
        "lora_unet_x_attn2_to_k.lora_up.weight": (320, 4),
    }
    save_file(weights(**thin), root / "loras" / "ink.safetensors")
    save_file(weights(**UNET, **{CROSS: (320, 768)}), root / "unet" / "painter.safetensors")
    save_file(weights(emb_params=(2, 1024)), root / "embeddings" / "mood.safetensors", {"title": "A mood"})
    (root / "broken.safetensors").write_bytes(b"\xff" * 100)
    torch.save({"state_dict": {"a": torch.ones(2)}}, root / "old.ckpt")
    monkeypatch.setenv("GRAPHENGINE_MODELS", str(root))
    return root


@pytest.mark.usefixtures("root")
def test_list_tells_what_each_is_from_its_header(graphengine: Any) -> None:
    rows = {row["name"]: row for row in json.loads(graphengine("models", "list", "--json").out)}
    found = {name: (row["type"], row["family"], row["precision"]) for name, row in rows.items()}
    assert found["ink"] == ("LoRA", "sd1", "F16")
    assert found["painter"] == ("denoiser", "sd1", "F16")
    assert found["mood"] == ("embedding", "sd2", "F16")
    assert found["storybook"] == ("model", "sd1", "F16")
    assert found["old.ckpt"][0] == "pickle"
    assert "graphengine models convert" in rows["old.ckpt"]["problem"]
    assert "is no .safetensors file" in rows["broken"]["problem"]
    assert rows["mood"]["bytes"] == Path(rows["mood"]["path"]).stat().st_size
    done = graphengine("models", "list")
    assert done.status == 0
    lines = {line.split()[0]: line for line in done.out.splitlines()}
    assert lines["name"].split() == ["name", "type", "family", "size", "precision"]
    assert lines["storybook"].split() == ["storybook", "model", "sd1", "16.5MiB", "F16"]
    assert "(!)" in lines["broken"]


def test_show_tells_parts_metadata_hash_and_what_is_missing(graphengine: Any, root: Path) -> None:
    shown = json.loads(graphengine("models", "show", "mood", "--json").out)
    assert shown["metadata"] == {"title": "A mood"}
    assert shown["parts"] == {"embedding": "1 tensor, 2,048 numbers, F16"}
    assert len(shown["hash"]) == 32
    out = graphengine("models", "show", "painter").out
    assert "vae: put it into the folder vae under a model root and load it with load_vae" in out
    assert "text_encoder: put it into the folder text_encoders" in out
    assert "rank 4" in graphengine("models", "show", "ink").out
    assert "problem    " in graphengine("models", "show", "broken").out
    out = graphengine("models", "show", "storybook").out
    assert "unet: 326 tensors, 6,669,676 numbers, F16" in out
    assert "missing" not in out


@pytest.mark.usefixtures("root")
def test_a_wrong_name_is_told_with_near_ones_and_where_to_put_files(graphengine: Any, root: Path) -> None:
    done = graphengine("models", "show", "pointer")
    assert done.status == 1
    assert done.err.startswith("there is no model 'pointer'; did you mean 'painter'? these are here: ")
    assert f"Put it into one of: {root}" in done.err


def test_verify_ends_with_1_for_what_is_damaged(graphengine: Any, root: Path) -> None:
    done = graphengine("models", "verify", "ink")
    assert (done.status, done.out.split(",")[0]) == (0, "ink: whole")
    done = graphengine("models", "verify", "broken")
    assert done.status == 1
    assert "is no .safetensors file" in done.out
    bad = torch.tensor([1.0, float("nan"), float("inf")])
    save_file({"emb_params": bad.reshape(1, 3)}, root / "bad.safetensors")
    assert graphengine("models", "verify", "bad").status == 0
    done = graphengine("models", "verify", "bad", "--deep")
    assert done.status == 1
    assert "emb_params holds 2 numbers that are not finite" in done.out


def test_verify_looks_into_a_folder(graphengine: Any, root: Path) -> None:
    part = root / "mine" / "unet"
    part.mkdir(parents=True)
    (root / "mine" / "model_index.json").write_text('{"unet": ["diffusers", "UNet2DConditionModel"]}')
    save_file(weights(a=(2,)), part / "diffusion_pytorch_model-00001-of-00002.safetensors")
    done = graphengine("models", "verify", "mine")
    assert done.status == 1
    assert "holds 1 of 2 parts of its weights" in done.out


def test_add_puts_a_file_into_its_place_and_says_so(graphengine: Any, root: Path, tmp_path: Path) -> None:
    save_file(weights(**{"encoder.conv_in.weight": (128, 3, 3, 3), "decoder.conv_in.weight": (512, 4, 3, 3)}),
              tmp_path / "sharp.safetensors")  # fmt: skip
    done = graphengine("models", "add", "sharp.safetensors")
    target = root / "vae" / "sharp.safetensors"
    assert (done.status, done.out) == (0, f"VAE: {target}\n")
    assert target.is_file()
    done = graphengine("models", "add", "sharp.safetensors")
    assert done.status == 1
    assert "already; nothing was changed" in done.err


@pytest.mark.parametrize("name", ["root/broken.safetensors", "root/old.ckpt", "nowhere.safetensors"])
def test_add_refuses_what_is_damaged_or_not_safe(graphengine: Any, root: Path, name: str) -> None:
    before = sorted(root.rglob("*"))
    assert graphengine("models", "add", name).status == 1
    assert sorted(root.rglob("*")) == before


def test_convert_writes_a_safe_file_beside_it(graphengine: Any, root: Path) -> None:
    done = graphengine("models", "convert", "root/old.ckpt")
    assert (done.status, done.out) == (0, "root/old.safetensors\n")
    assert torch.equal(load_file(root / "old.safetensors")["a"], torch.ones(2))
    done = graphengine("models", "convert", "root/old.ckpt")
    assert done.status == 1
    assert "there is root/old.safetensors already" in done.err


@pytest.mark.parametrize("words", [[], ["show"], ["nope"], ["list", "--nope"]])
def test_a_usage_error_ends_with_3(graphengine: Any, words: list[str]) -> None:
    done = graphengine("models", *words)
    assert done.status == 3
    assert "Usage: graphengine models" in done.err


@pytest.mark.parametrize(
    "words",
    [
        ["list"],
        ["list", "--json"],
        ["show", "mood"],
        ["verify", "mood"],
        ["add", "root/loras/ink.safetensors"],
    ],
)
def test_no_command_imports_torch(graphengine: Any, root: Path, tmp_path: Path, words: list[str]) -> None:
    graphengine("nodes")  # the packs are loaded by this process
    program = (
        f"import sys; sys.argv = ['graphengine', 'models', *{words!r}]\n"
        "from graphengine.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: status = end.code\n"
        "heavy = {'torch', 'numpy', 'safetensors', 'diffusers', 'transformers'} & sys.modules.keys()\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
