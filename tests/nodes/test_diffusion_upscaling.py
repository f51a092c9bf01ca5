"""Upscalers: networks read off their weights, in every layout, and tiles that leave no trace."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from nodes.tinymodels import Shelf
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from graphengine.authoring import Folders
from graphengine.errors import ModelError
from graphengine_diffusion.architectures.rrdb import Dense
from graphengine_diffusion.architectures.srvgg import Compact
from graphengine_diffusion.upscaling import (
    load_upscaler,
    strips,
    upscale_by_model,
    upscale_in_small_tiles,
    upscaler_names,
)

pytestmark = pytest.mark.usefixtures("no_network")

State = dict[str, Tensor]


def weights(module: torch.nn.Module, seed: int = 0) -> State:
    """Random weights of a size that lets every layer act."""
    g = torch.Generator().manual_seed(seed)
    return {n: torch.randn(t.shape, generator=g) * 0.15 for n, t in module.state_dict().items()}


def picture(height: int = 20, width: int = 24, channels: int = 3, batch: int = 1) -> Tensor:
    return torch.rand(batch, height, width, channels, generator=torch.Generator().manual_seed(1))


def released(state: State) -> State:
    """The names of Real-ESRGAN."""
    return {re.sub(r"ups\.(\d)", lambda m: f"conv_up{int(m[1]) + 1}", name): t for name, t in state.items()}


def trunk(state: State) -> State:
    """The names of ESRGAN."""
    found = {}
    for name, tensor in state.items():
        name = re.sub(r"body\.(\d+)\.rdb(\d)", r"RRDB_trunk.\1.RDB\2", name)
        name = re.sub(r"ups\.(\d)", lambda m: f"upconv{int(m[1]) + 1}", name)
        found[name.replace("conv_body", "trunk_conv").replace("conv_hr", "HRconv")] = tensor
    return found


def first_release(state: State) -> State:
    """The names of ESRGAN's first release: layers by their place in a list."""
    blocks = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("body."))
    ups = sum(re.fullmatch(r"ups\.\d\.weight", name) is not None for name in state)
    fixed = {"conv_first": "model.0", "conv_body": f"model.1.sub.{blocks}"}
    fixed |= {f"ups.{n}": f"model.{3 + 3 * n}" for n in range(ups)}
    fixed |= {"conv_hr": f"model.{2 + 3 * ups}", "conv_last": f"model.{4 + 3 * ups}"}
    found = {}
    for name, tensor in state.items():
        layer, _, kind = name.rpartition(".")
        layer = re.sub(r"body\.(\d+)\.rdb(\d)\.(conv\d)", r"model.1.sub.\1.RDB\2.\3.0", layer)
        found[f"{fixed.get(layer, layer)}.{kind}"] = tensor
    return found


def dense_by_hand(s: State, x: Tensor, blocks: int, ups: int, folded: int) -> Tensor:
    """Figure 4 of the ESRGAN paper, line by line."""

    def conv(name: str, x: Tensor) -> Tensor:
        return functional.conv2d(x, s[f"{name}.weight"], s[f"{name}.bias"], padding=1)

    def lrelu(x: Tensor) -> Tensor:
        return torch.where(x > 0, x, 0.2 * x)

    if folded > 1:
        b, c, h, w = x.shape
        x = x.view(b, c, h // folded, folded, w // folded, folded).permute(0, 1, 3, 5, 2, 4)
        x = x.reshape(b, c * folded**2, h // folded, w // folded)
    first = found = conv("conv_first", x)
    for n in range(blocks):
        inside = found
        for d in (1, 2, 3):
            name, y = f"body.{n}.rdb{d}.conv", inside
            x1 = lrelu(conv(f"{name}1", y))
            x2 = lrelu(conv(f"{name}2", torch.cat([y, x1], 1)))
            x3 = lrelu(conv(f"{name}3", torch.cat([y, x1, x2], 1)))
            x4 = lrelu(conv(f"{name}4", torch.cat([y, x1, x2, x3], 1)))
            inside = y + 0.2 * conv(f"{name}5", torch.cat([y, x1, x2, x3, x4], 1))
        found = found + 0.2 * inside
    found = first + conv("conv_body", found)
    for n in range(ups):
        found = lrelu(conv(f"ups.{n}", found.repeat_interleave(2, 2).repeat_interleave(2, 3)))
    return conv("conv_last", lrelu(conv("conv_hr", found)))


def agree(found: Tensor, wanted: Tensor) -> None:
    """Pictures [batch, height, width, channels] and planes that are not yet limited to 0..1."""
    wanted = wanted.clamp(0, 1).permute(0, 2, 3, 1)
    assert 0.01 < wanted.mean() < 0.99
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


LAYOUTS = {"released": released, "trunk": trunk, "first_release": first_release}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_rrdb_is_the_papers_in_every_layout(layout: str, tmp_path: Path) -> None:
    state = weights(Dense(3, 8, 4, blocks=2, doublings=2, folded=1))
    save_file(LAYOUTS[layout](state), tmp_path / "x.safetensors")
    ctx = Shelf(tmp_path)
    handle = load_upscaler("x", ctx)
    assert handle.scale == 4
    x = picture()
    agree(upscale_by_model(handle, x, ctx=ctx), dense_by_hand(state, x.permute(0, 3, 1, 2), 2, 2, 1))


@pytest.mark.parametrize(("folded", "scale"), [(2, 2), (4, 1)])
def test_rrdb_for_smaller_scales_folds_pixels_into_channels(folded: int, scale: int, tmp_path: Path) -> None:
    state = weights(Dense(3, 8, 4, blocks=1, doublings=2, folded=folded))
    save_file({f"params_ema.{k}": v for k, v in released(state).items()}, tmp_path / "x.safetensors")
    ctx = Shelf(tmp_path)
    handle = load_upscaler("x.safetensors", ctx)
    assert handle.scale == scale
    x = picture()
    agree(upscale_by_model(handle, x, ctx=ctx), dense_by_hand(state, x.permute(0, 3, 1, 2), 1, 2, folded))
    odd = upscale_by_model(handle, picture(19, 21), ctx=ctx)
    assert odd.shape == (1, 19 * scale, 21 * scale, 3)


@pytest.mark.parametrize("ups", [1, 3])
def test_the_first_release_tells_its_scale_by_its_layers(ups: int, tmp_path: Path) -> None:
    state = weights(Dense(3, 8, 4, blocks=1, doublings=ups, folded=1))
    save_file(first_release(state), tmp_path / "x.safetensors")
    assert load_upscaler("x", Shelf(tmp_path)).scale == 2**ups


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_srvgg_adds_detail_to_repeated_pixels(scale: int, tmp_path: Path) -> None:
    state = weights(Compact(3, 8, layers=2, scale=scale))
    save_file(state, tmp_path / "x.safetensors")
    ctx = Shelf(tmp_path)
    handle = load_upscaler("x", ctx)
    assert handle.scale == scale
    x = planes = picture().permute(0, 3, 1, 2)
    for n in (0, 2, 4):
        x = functional.conv2d(x, state[f"body.{n}.weight"], state[f"body.{n}.bias"], padding=1)
        x = torch.where(x > 0, x, state[f"body.{n + 1}.weight"][:, None, None] * x)
    x = functional.conv2d(x, state["body.6.weight"], state["body.6.bias"], padding=1)
    b, _, h, w = x.shape
    detail = x.view(b, 3, scale, scale, h, w).permute(0, 1, 4, 2, 5, 3).reshape(b, 3, h * scale, w * scale)
    repeated = planes.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    agree(upscale_by_model(handle, picture(), ctx=ctx), detail + repeated)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """A context with a network that looks 8 pixels far, less than a tile's margin."""
    root = tmp_path_factory.mktemp("models")
    save_file(weights(Compact(3, 8, layers=6, scale=2)), root / "small.safetensors")
    return Shelf(root)


@pytest.mark.parametrize("size", [(64, 65), (150, 230), (300, 64)])
def test_tiles_give_what_the_whole_gives(
    small: Shelf, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    handle, x = load_upscaler("small", small), picture(*size, batch=2)
    whole = upscale_by_model(handle, x, 1024, small)
    told: list[tuple[float, float]] = []
    monkeypatch.setattr(small, "progress", lambda done, total: told.append((done, total)))
    tiles = upscale_by_model(handle, x, 64, small)
    assert len(told) > 2
    assert told[-1] == (len(told), len(told))
    assert [done for done, _ in told] == list(range(1, len(told) + 1))
    torch.testing.assert_close(tiles, whole, rtol=1e-4, atol=1e-5)


def test_a_network_that_looks_further_leaves_no_hard_seam(tmp_path: Path) -> None:
    """What tiles cannot agree on fades from one to the next: no step is larger than in the whole picture."""
    save_file(weights(Compact(3, 8, layers=40, scale=1), seed=2), tmp_path / "deep.safetensors")
    ctx = Shelf(tmp_path)
    handle, x = load_upscaler("deep", ctx), torch.full((1, 100, 200, 3), 0.5)
    whole, tiles = (upscale_by_model(handle, x, tile, ctx) for tile in (1024, 64))
    steps = [(p[:, :, 1:] - p[:, :, :-1]).abs().max() for p in (whole, tiles)]
    assert steps[1] < max(1e-4, 1.5 * float(steps[0]))


@pytest.mark.parametrize("length", [65, 100, 128, 129, 1000])
def test_tiles_cover_a_side_and_share_enough(length: int) -> None:
    found = strips(length, 64, 2)
    shares = torch.zeros(length * 2)
    for strip in found:
        assert strip.source.stop - strip.source.start == 64
        assert strip.kept.stop - strip.kept.start == len(strip.share)
        shares[strip.target] += strip.share
    assert shares.min() > 0.99
    assert found[0].target.start == 0
    assert found[-1].target.stop == 2 * length


def test_the_frugal_way_uses_small_tiles_and_gives_the_same(
    small: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle, x = load_upscaler("small", small), picture(140, 150)
    sizes: list[tuple[int, ...]] = []
    hook = small.use(handle).register_forward_pre_hook(lambda _, args: sizes.append(tuple(args[0].shape)))
    try:
        frugal = upscale_in_small_tiles(handle, x, ctx=small)
        assert set(sizes) == {(1, 3, 128, 128)}
        torch.testing.assert_close(frugal, upscale_by_model(handle, x, ctx=small), rtol=1e-4, atol=1e-5)
        assert sizes[-1] == (1, 3, 140, 150)
    finally:
        hook.remove()


def test_grey_becomes_colours_and_alpha_is_kept(small: Shelf) -> None:
    handle, grey = load_upscaler("small", small), picture(channels=1)
    wanted = upscale_by_model(handle, grey.expand(-1, -1, -1, 3), ctx=small)
    assert torch.equal(upscale_by_model(handle, grey, ctx=small), wanted)
    rgba = picture(channels=4)
    found = upscale_by_model(handle, rgba, ctx=small)
    assert torch.equal(found[..., :3], upscale_by_model(handle, rgba[..., :3], ctx=small))
    assert found.shape == (1, 40, 48, 4)
    assert not found.is_inference()
    with pytest.raises(ValueError, match="the image has 2 channels; give a grey, RGB or RGBA"):
        upscale_by_model(handle, picture(channels=2), ctx=small)


def test_half_precision_files_are_computed_in_float32_on_a_cpu(tmp_path: Path) -> None:
    state = {n: t.half() for n, t in weights(Compact(3, 8, layers=1, scale=2)).items()}
    save_file(state, tmp_path / "half.safetensors")
    ctx = Shelf(tmp_path)
    assert next(ctx.use(load_upscaler("half", ctx)).parameters()).dtype == torch.float32


def test_the_choices_are_the_upscalers_under_the_roots(small: Shelf, tmp_path: Path) -> None:
    save_file({"lora_unet_a.lora_up.weight": torch.zeros(1, 1)}, tmp_path / "lora.safetensors")
    (tmp_path / "upscalers").mkdir()
    save_file(weights(Compact(3, 4, layers=0, scale=2)), tmp_path / "upscalers" / "x2.safetensors")
    assert upscaler_names(Folders(models=(tmp_path, *small.folders.models))) == [
        "small",
        "x2",
    ]


def broken(kind: str) -> State:
    """Weights that are not quite those of a network."""
    compact, dense = weights(Compact(3, 8, layers=2, scale=2)), weights(Dense(3, 8, 4, 1, 2, 1))
    if kind == "other":
        return {"conv.weight": torch.zeros(1)}
    if kind == "lacking":
        return {n: t for n, t in released(dense).items() if n != "conv_hr.bias"}
    if kind == "variant":
        return released(dense) | {"body.0.rdb1.conv1x1.weight": torch.zeros(1, 1, 1, 1)}
    return compact | {"body.2.weight": torch.zeros(8, 7, 3, 3)}


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("other", "such as conv.weight, are of no upscaler that is known; these are: RRDBNet"),
        ("lacking", "it lacks 1 of its weights, such as conv_hr.bias; download it again"),
        ("variant", "it has 1 weights, such as body.0.rdb1.conv1x1.weight, that the network does not know"),
        ("shape", "its body.2.weight has the shape [8, 7, 3, 3], not [8, 8, 3, 3]"),
    ],
)
def test_what_is_no_known_upscaler_is_told(kind: str, told: str, tmp_path: Path) -> None:
    save_file(broken(kind), tmp_path / "x.safetensors")
    with pytest.raises(ModelError, match=re.escape(told)):
        load_upscaler("x", Shelf(tmp_path))
