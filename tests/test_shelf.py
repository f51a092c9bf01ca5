"""Names of models: what lies under a root, at any depth, in the folders of other programs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from graphengine.errors import ModelError
from graphengine.folders import Folders
from graphengine.shelf import items

COMFY = [
    "models/checkpoints/sd15.safetensors", "models/checkpoints/xl/base.safetensors",
    "models/loras/ink.safetensors", "models/vae/sharp.safetensors", "models/controlnet/canny.safetensors",
    "models/embeddings/easy.safetensors", "models/upscale_models/4x.safetensors",
    "models/text_encoders/t5.safetensors", "models/unet/flux.safetensors",
]  # fmt: skip
A1111 = [
    "models/Stable-diffusion/sd15.safetensors", "models/Lora/ink.safetensors", "models/VAE/sharp.safetensors",
    "models/ControlNet/canny.safetensors", "models/ESRGAN/4x.safetensors", "embeddings/easy.safetensors",
]  # fmt: skip


def made(root: Path, *files: str) -> Path:
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")
    return root


@pytest.mark.parametrize("layout", [COMFY, A1111], ids=["ComfyUI", "A1111"])
@pytest.mark.parametrize("home", [True, False])
def test_the_folders_of_other_programs_are_understood(tmp_path: Path, layout: list[str], home: bool) -> None:
    made(
        tmp_path,
        *layout,
        "venv/lib/weights.safetensors",
        "outputs/models.safetensors",
        ".cache/x.safetensors",
    )
    root = tmp_path if home else tmp_path / "models"
    folders = Folders(models=(root,))
    for file in layout:
        if not home and not file.startswith("models/"):
            continue
        path = tmp_path / file
        relative = path.relative_to(root).as_posix()
        short = path.name
        names = [relative, relative.removesuffix(".safetensors"), short, short.removesuffix(".safetensors")]
        assert {folders.model(name) for name in names} == {path}
        assert path.stem in folders.model_names()
    assert "weights" not in folders.model_names()
    assert "x" not in folders.model_names()


def test_a_short_name_of_two_files_is_an_error_that_names_both(tmp_path: Path) -> None:
    made(tmp_path, "checkpoints/one.safetensors", "loras/one.safetensors", "loras/two.safetensors")
    folders = Folders(models=(tmp_path,))
    with pytest.raises(ModelError) as caught:
        folders.model("one")
    assert str(caught.value) == (
        f"there are 2 models 'one' in {tmp_path}; write 'checkpoints/one' or 'loras/one'"
    )
    assert folders.model_names() == ["checkpoints/one", "loras/one", "two"]
    assert folders.model("loras/one") == tmp_path / "loras" / "one.safetensors"


def test_every_name_that_is_listed_is_found(tmp_path: Path) -> None:
    made(tmp_path, *COMFY, "b/sd15.safetensors", "folder/model_index.json", "models/folder/model_index.json")
    made(tmp_path, "models/part/config.json", "models/part/model.safetensors")
    folders = Folders(models=(tmp_path, tmp_path / "models", tmp_path / "b"))
    for name, item in folders.items().items():
        assert folders.model(name) == item.path
    assert "part" in folders.items()
    assert "part" not in folders.model_names()
    with pytest.raises(ModelError, match=r"no model 'parts'; did you mean 'part'\?"):  # such as a ControlNet
        folders.model("parts")


def test_a_whole_name_in_any_root_goes_before_the_end_of_one(tmp_path: Path) -> None:
    made(tmp_path / "one", "deep/model.safetensors")
    made(tmp_path / "two", "model.safetensors")
    folders = Folders(models=(tmp_path / "one", tmp_path / "two"))
    assert folders.model("model") == tmp_path / "two" / "model.safetensors"


def test_the_weights_of_a_folder_are_no_models_of_their_own(tmp_path: Path) -> None:
    made(tmp_path, "m/model_index.json", "m/unet/diffusion_pytorch_model.safetensors")
    made(tmp_path, "v/config.json", "v/diffusion_pytorch_model.safetensors", "v/other.safetensors")
    assert [item.name for item in items(tmp_path)] == ["m", "v", "v/other"]


def test_a_pickle_is_found_by_its_stem_unless_a_safe_file_is_beside_it(tmp_path: Path) -> None:
    made(tmp_path, "checkpoints/old.ckpt", "checkpoints/both.ckpt", "checkpoints/both.safetensors")
    folders = Folders(models=(tmp_path,))
    assert folders.model("old") == tmp_path / "checkpoints" / "old.ckpt"
    assert folders.model("both") == tmp_path / "checkpoints" / "both.safetensors"
    assert folders.model_names() == ["both"]


def test_links_that_lead_in_a_circle_or_out_of_the_root_end(tmp_path: Path) -> None:
    root = made(tmp_path / "root", "a/one.safetensors")
    made(tmp_path / "out", "two.safetensors")
    (root / "a" / "circle").symlink_to(root)
    (root / "a" / "away").symlink_to(tmp_path / "out")
    (root / "a" / "three.safetensors").symlink_to(tmp_path / "out" / "two.safetensors")
    (root / "b").symlink_to(root / "a")
    names = [item.name for item in items(root)]
    assert {"a/one", "b/one"} <= set(names)
    assert not [name for name in names if "two" in name or "three" in name]
    with pytest.raises(ModelError):
        Folders(models=(root,)).model("two")


def test_a_wrong_name_is_told_with_near_ones_and_where_to_put_files(tmp_path: Path) -> None:
    made(tmp_path, *(f"loras/number {i}.safetensors" for i in range(30)), "checkpoints/dreamy.safetensors")
    with pytest.raises(ModelError) as caught:
        Folders(models=(tmp_path,)).model("dreamie")
    text = str(caught.value)
    assert text.startswith(
        "there is no model 'dreamie'; did you mean 'dreamy'? these are here: dreamy, number 0"
    )
    assert text.endswith(f" and 11 more. Put it into one of: {tmp_path}")


def test_names_need_no_torch_and_are_quick(tmp_path: Path) -> None:
    made(tmp_path, *(f"loras/{i % 50}/{i}.safetensors" for i in range(2000)))
    program = (
        "import sys, time; from pathlib import Path; from graphengine.folders import Folders\n"
        f"folders = Folders(models=(Path({str(tmp_path)!r}),)); began = time.process_time()\n"
        "count = len(folders.model_names()); took = time.process_time() - began\n"
        "print(count, 'torch' in sys.modules, took < 1.0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2000", "False", "True"]
