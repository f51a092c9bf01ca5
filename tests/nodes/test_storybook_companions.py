"""The companions of the storybook model: edges and styles, the weights that ship, and their training."""

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from diffusers import ControlNetModel, DDPMPipeline, DDPMScheduler, UNet2DModel
from diffusers.models.unets.unet_2d import UNet2DOutput
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from graphengine_storybook import MODELS, companions, control, ddpm, lora, superres
from graphengine_storybook.autoencoder import CHANNELS
from graphengine_storybook.batches import pixels, unit
from graphengine_storybook.captions import hint, words
from graphengine_storybook.card import BEGIN, END
from graphengine_storybook.edges import edges, luminance, slope
from graphengine_storybook.evaluate import paint, real
from graphengine_storybook.examine import (
    Figure,
    agreement,
    controlled,
    examine_upscaler,
    read,
    read_kinds,
    sketch,
    table,
)
from graphengine_storybook.folder import Model
from graphengine_storybook.judge import Judge
from graphengine_storybook.portraits import portrait, portraits
from graphengine_storybook.styles import DARK, LIGHT, off_sepia, sepia
from graphengine_storybook.train import Plan
from graphengine_storybook.upscaler import Upscaler, bicubic, crops, psnr, reduced
from graphengine_storybook.world import KINDS, USUAL, Scene, make

COMPANIONS = tuple(MODELS.glob("storybook_*"))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge.load(MODELS / "judge")


def drawings(count: int, seed: int = 0, things: int | None = None) -> tuple[list[Scene], Tensor]:
    """Scenes, and their pictures from 0 to 1."""
    rng = Random(seed)
    scenes = [make(rng, "skip", things) for _ in range(count)]
    return scenes, real(scenes) / 2 + 0.5


def test_a_plain_picture_has_no_edges_and_a_step_has_a_line() -> None:
    plain = torch.full((1, 3, 16, 16), 0.3)
    assert edges(plain).sum() == 0
    step = plain.clone()
    step[..., 8:] = 0.9
    lines = edges(step)
    assert lines.shape == (1, 3, 16, 16)
    assert lines[..., 7:9].all()
    assert lines.sum() == 3 * 16 * 2


def test_the_slope_of_a_ramp_is_its_rise_per_pixel() -> None:
    ramp = (0.02 * torch.arange(16.0)).expand(1, 1, 16, 16)
    torch.testing.assert_close(slope(ramp)[..., 1:-1], torch.full((1, 1, 16, 14), 0.02))
    torch.testing.assert_close(slope(ramp.transpose(2, 3)), slope(ramp).transpose(2, 3))


def test_edges_depend_on_the_picture_alone_and_not_on_its_batch() -> None:
    _, pictures = drawings(4)
    together = edges(pictures)
    assert set(together.unique().tolist()) == {0.0, 1.0}
    assert 0.005 < together.mean() < 0.3
    for index in range(4):
        assert torch.equal(edges(pictures[index : index + 1])[0], together[index])


def test_sepia_keeps_the_light_and_leaves_no_other_colour() -> None:
    _, pictures = drawings(8)
    brown = sepia(pictures)
    assert off_sepia(brown).max() < 1e-5
    assert off_sepia(pictures).min() > 0.02
    order = luminance(pictures).flatten().argsort()
    assert (luminance(brown).flatten()[order].diff() >= -1e-4).all()
    for shade, colour in ((0.0, DARK), (1.0, LIGHT)):
        found = sepia(torch.full((1, 3, 1, 1), shade)).flatten() * 255
        torch.testing.assert_close(found, torch.tensor(colour).float())


def test_a_small_picture_is_the_average_of_a_large_one() -> None:
    picture = torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(reduced(picture)[0, :, 0, 1], picture[0, :, :4, 4:].mean((1, 2)))
    assert bicubic(reduced(picture)).shape == picture.shape


def test_a_portrait_has_one_thing_in_its_usual_colour() -> None:
    rng = Random(0)
    for kind in KINDS:
        scene = portrait(rng, kind)
        assert [(thing.kind, thing.colour) for thing in scene.things] == [(kind, USUAL[kind])]
        assert scene.backdrop != USUAL[kind]
    pictures, kinds = next(portraits(5, seed=1))
    assert pictures.shape == (5, 3, 32, 32)
    assert kinds.tolist() == next(portraits(5, seed=1))[1].tolist()


def test_a_hint_names_colours_and_no_thing() -> None:
    known, rng = set(words()), Random(0)
    for scene in drawings(40)[0]:
        said = hint(scene, rng).split()
        assert set(said) <= known
        assert not set(said) & set(KINDS)
        assert all(thing.colour in said for thing in scene.things)


def test_all_companions_together_are_small_and_have_a_card() -> None:
    names = {path.stem for path in COMPANIONS}
    assert names == {f"storybook_{name}" for name in companions.RECIPES}
    files = [file for path in COMPANIONS for file in (path.rglob("*") if path.is_dir() else [path])]
    assert sum(file.stat().st_size for file in files if file.is_file()) <= 15_000_000
    for path in COMPANIONS:
        page = path / "README.md" if path.is_dir() else MODELS / "README.md"
        assert path.stem in page.read_text(encoding="utf-8")


def test_the_cards_hold_the_figures_of_the_table() -> None:
    overall = (MODELS / "README.md").read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0]
    for name in companions.RECIPES:
        rows = [row for row in overall.splitlines() if row.startswith(f"| {name} |")]
        assert rows, name
        page = MODELS / f"storybook_{name}" / "README.md"
        if page.exists():
            assert set(rows) <= set(page.read_text(encoding="utf-8").splitlines())


def test_figures_become_a_table() -> None:
    found = [Figure("lora", "kind", 0.98765, 1.0), Figure("superres", "seconds", 2.0)]
    assert table(found).splitlines()[2:] == ["| lora | kind | 0.988 | 1 |", "| superres | seconds | 2 | - |"]


def test_the_controlnet_loads_in_diffusers_and_fits_the_unet() -> None:
    loader: Any = ControlNetModel  # diffusers leaves its classmethods untyped
    network = loader.from_pretrained(MODELS / "storybook_control")
    unet = Model.load(MODELS / "storybook").unet
    assert network.config.cross_attention_dim == unet.config["cross_attention_dim"]
    down, middle = network(
        torch.zeros(1, CHANNELS, 16, 16),
        500,
        torch.zeros(1, 32, 128),
        torch.zeros(1, 3, 128, 128),
        return_dict=False,
    )
    assert len(down) == sum(
        1 for name, _ in network.named_modules() if name.startswith("controlnet_down_blocks.")
    )
    assert middle.shape == (1, 160, 4, 4)


def test_a_new_controlnet_changes_nothing() -> None:
    unet = Model.load(MODELS / "storybook").unet
    told = control.predict(control.build(unet), unet, torch.rand(1, 3, 128, 128), torch.ones(1, 32, 128))
    noisy, timestep = torch.randn(1, CHANNELS, 16, 16), torch.tensor([300])
    with torch.no_grad():
        torch.testing.assert_close(
            told(noisy, timestep), unet(noisy, timestep, torch.ones(1, 32, 128)).sample
        )


def test_edges_decide_what_is_drawn_and_where(judge: Judge) -> None:
    model = Model.load(MODELS / "storybook")
    scenes, pictures = drawings(8, seed=2)
    lines = edges(pictures)
    texts = [hint(scene, Random(scene.seed)) for scene in scenes]
    pipeline = controlled(model, control.load(MODELS / "storybook_control"))
    told = sketch(pipeline, texts, lines, steps=10)
    untold = paint(model.pipeline(), texts, 4.5, [scene.seed for scene in scenes], steps=10)
    assert read(judge, told, scenes).kind >= 0.6 > 0.5 > read(judge, untold, scenes).kind
    assert agreement(edges(told / 2 + 0.5), lines) > agreement(edges(untold / 2 + 0.5), lines) + 0.15


def test_the_upscaler_has_the_names_of_a_compact_model() -> None:
    file = MODELS / "storybook_upscaler.safetensors"
    weights = load_file(file)
    assert {name: tuple(weight.shape) for name, weight in weights.items() if name.split(".")[1] in "01"} == {
        "body.0.weight": (32, 3, 3, 3),
        "body.0.bias": (32,),
        "body.1.weight": (32,),
    }
    assert weights["body.18.weight"].shape == (3 * 4**2, 32, 3, 3)
    with safe_open(file, "pt") as opened:
        assert opened.metadata()["architecture"] == "SRVGGNetCompact"


def test_the_upscaler_is_better_than_bicubic(judge: Judge) -> None:
    for figure in examine_upscaler(MODELS, judge, 24):
        assert figure.plain is not None
        assert figure.made > figure.plain + 0.4


def test_the_unconditional_model_loads_in_diffusers_own_pipeline() -> None:
    loader: Any = DDPMPipeline
    pipeline = loader.from_pretrained(MODELS / "storybook_pixels")
    pipeline.set_progress_bar_config(disable=True)
    config = pipeline.scheduler.config
    assert isinstance(pipeline.scheduler, DDPMScheduler)
    assert (config.beta_schedule, config.beta_start, config.beta_end) == ("linear", 0.0001, 0.02)
    assert config.prediction_type == "epsilon"
    made = pipeline(num_inference_steps=2, generator=torch.Generator().manual_seed(0))
    assert made.images[0].size == (32, 32)


def test_noise_becomes_things_that_the_judge_knows(judge: Judge) -> None:
    unet = ddpm.load(MODELS / "storybook_pixels" / "unet").eval()
    kinds, sure = read_kinds(judge, ddpm.sample(unet, 16, steps=30))
    assert (sure > 0.9).float().mean() >= 0.6
    assert len(set(kinds.tolist())) >= 6


def test_a_class_gives_a_picture_of_its_kind(judge: Judge) -> None:
    folder = MODELS / "storybook_classes"
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    assert list(index["id2label"].values()) == list(KINDS)
    loader: Any = UNet2DModel
    unet = loader.from_pretrained(folder, subfolder="unet").eval()
    assert unet.config.num_class_embeds == len(KINDS) + 1
    asked = torch.arange(len(KINDS))
    kinds, _ = read_kinds(judge, ddpm.sample(unet, len(KINDS), asked, scale=1.5, steps=30))
    assert (kinds == asked).float().mean() >= 0.85


def test_the_second_stage_draws_edges_where_bicubic_leaves_them_blurred() -> None:
    unet = ddpm.load(MODELS / "storybook_superres" / "unet").eval()
    assert unet.config["in_channels"] == 6
    _, sharp = drawings(8, seed=9)
    small = reduced(sharp)
    made = superres.sample(unet, 2 * small - 1) / 2 + 0.5
    assert psnr(made, sharp) > 21
    lines = edges(sharp)
    assert agreement(edges(made), lines, 1) > agreement(edges(bicubic(small)), lines, 1) + 0.05


def test_the_lora_file_has_diffusers_names() -> None:
    weights = lora.load(MODELS / "storybook_lora.safetensors")
    layer = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
    assert weights[f"{layer}.lora_A.weight"].shape == (lora.RANK, 80)
    assert weights[f"{layer}.lora_B.weight"].shape == (80, lora.RANK)
    layers = {name.rsplit(".lora_", 1)[0] for name in weights}
    assert len(weights) == 2 * len(layers)
    unet = Model.load(MODELS / "storybook").unet
    for name in layers:
        unet.get_submodule(name.removeprefix("unet."))


def test_a_folded_lora_computes_what_an_attached_one_does() -> None:
    unet = Model.load(MODELS / "storybook").unet
    change = lora.Lora(unet)
    for parameter in change.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    inputs = (torch.randn(1, CHANNELS, 16, 16), 300, torch.randn(1, 32, 128))
    with torch.no_grad():
        before = unet(*inputs).sample
        with change.attached(unet):
            attached = unet(*inputs).sample
        torch.testing.assert_close(unet(*inputs).sample, before)
        lora.fold(unet, change.weights(), 1.0)
        torch.testing.assert_close(unet(*inputs).sample, attached, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(before, attached, atol=1e-2)


def test_the_lora_makes_pictures_brown_the_more_the_stronger(judge: Judge) -> None:
    model = Model.load(MODELS / "storybook")
    weights = lora.load(MODELS / "storybook_lora.safetensors")
    texts = [
        "a red house in a meadow",
        "a green tree on the beach",
        "a blue car in the snow",
        "a pink flower",
    ]
    off = []
    for strength in (0.0, 0.5, 0.5):  # the change adds up
        lora.fold(model.unet, weights, strength)
        made = paint(model.pipeline(), texts, 4.5, [1, 2, 3, 4], steps=10)
        off.append(float(off_sepia(made / 2 + 0.5).mean()))
    assert off[0] > off[1] > off[2]
    assert off[2] < 0.4 * off[0]
    wanted = torch.tensor([KINDS.index(kind) for kind in ("house", "tree", "car", "flower")])
    assert (read_kinds(judge, made)[0] == wanted).sum() >= 3


def test_a_new_pixel_model_guesses_that_all_is_noise() -> None:
    for channels in ((16, 32), (12, 24)):
        unet = ddpm.carry(ddpm.build(channels, side=16))
        noisy = torch.randn(2, 3, 16, 16)
        with torch.no_grad():
            assert (unet(noisy, 700).sample - noisy).square().mean() < 0.01


def test_a_new_second_stage_gives_back_the_picture_it_is_shown() -> None:
    shown = 0.5 * unit(next(portraits(1, seed=4))[0])
    with torch.no_grad():
        made = superres.build().eval()(torch.cat([torch.randn(1, 3, 32, 32), shown], 1), 500).sample
    assert (made - shown).abs().max() < 0.05


def test_without_classes_a_model_computes_what_it_did_for_none() -> None:
    labelled = ddpm.build((8, 16), classes=4, side=16).eval()
    plain = ddpm.unconditional(labelled).eval()
    noisy, none = torch.randn(2, 3, 16, 16), torch.tensor([3, 3])
    with torch.no_grad():
        expected = labelled(noisy, 100, class_labels=none).sample
        torch.testing.assert_close(plain(noisy, 100).sample, expected, atol=1e-5, rtol=1e-4)


def test_the_loss_of_a_model_that_knows_the_noise_is_zero() -> None:
    pictures = torch.rand(4, 3, 8, 8)
    alpha_bar = ddpm.schedule().alphas_cumprod

    def knows(noisy: Tensor, timestep: Tensor, class_labels: Tensor | None) -> Any:
        signal = alpha_bar[timestep][:, None, None, None]
        eps = (noisy - signal.sqrt() * pictures) / (1 - signal).sqrt()
        return UNet2DOutput(sample=eps)

    model: Any = knows
    assert ddpm.loss(model, pictures, alpha_bar) < 1e-6
    assert ddpm.loss(model, pictures, alpha_bar, snr_cap=5.0) < 1e-6


def test_fitting_a_few_pictures_lowers_the_loss_and_repeats_itself() -> None:
    pictures = unit(next(portraits(4, seed=3))[0])[..., ::2, ::2]

    def fitted() -> list[float]:
        torch.manual_seed(0)
        return list(ddpm.fit(ddpm.build((8, 16), side=16), pictures, steps=40, batch=8))

    losses = fitted()
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])
    assert fitted() == losses


def test_crops_are_sharp_pieces_of_drawings_of_all_sizes() -> None:
    stream = crops(16, seed=0)
    for _ in range(4):
        pictures = next(stream)
        assert pictures.shape == (16, 3, 64, 64)
        assert 0 <= pictures.min() <= pictures.max() <= 1
    assert pixels([portrait(Random(0))], 256).shape == (1, 3, 256, 256)


def test_lines_agree_with_themselves_and_their_neighbours() -> None:
    lines = torch.zeros(1, 3, 16, 16)
    lines[..., 4] = 1
    assert agreement(lines, lines) == 1
    assert agreement(lines.roll(2, -1), lines) == 1
    assert agreement(lines.roll(6, -1), lines) == 0


@pytest.mark.parametrize("name", companions.RECIPES)
def test_a_short_training_leaves_a_companion_that_goes_on(name: str, tmp_path: Path) -> None:
    plan = Plan(minutes=0.002, out=tmp_path, stages=(name,), recipes=companions.RECIPES)
    seen = companions.train(plan)
    assert seen[name] > 0
    written = next(tmp_path.glob(f"storybook_{name}*"))
    if name == "control":
        assert control.load(written)
    elif name == "upscaler":
        assert Upscaler.load(written)(torch.rand(1, 3, 8, 8)).shape == (1, 3, 32, 32)
    elif name == "lora":
        lora.fold(Model.load(MODELS / "storybook").unet, lora.load(written), 1.0)
    else:
        assert ddpm.load(written / "unet")
    assert companions.train(plan) == seen  # the minutes are over: nothing more is trained


def test_a_training_does_not_go_on_from_a_folder_that_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        companions.main(["--minutes", "0", "--from", str(tmp_path / "none"), "--out", str(tmp_path / "out")])
    assert "there is no such folder" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", companions.RECIPES)
def test_a_training_goes_on_from_a_companion(name: str, tmp_path: Path) -> None:
    plan = Plan(minutes=0.0, out=tmp_path, stages=(name,), start=MODELS, recipes=companions.RECIPES)
    assert companions.train(plan) == {name: 0}
    files = [path.relative_to(tmp_path) for path in tmp_path.glob("storybook_*/**/*.safetensors")]
    files += [path.relative_to(tmp_path) for path in tmp_path.glob("*.safetensors")]
    assert files
    for file in files:
        before, after = load_file(MODELS / file), load_file(tmp_path / file)
        assert before.keys() == after.keys()
        assert all(torch.equal(before[key], after[key]) for key in before)
