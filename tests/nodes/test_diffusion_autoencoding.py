"""Autoencoding in tiles: nothing is left out, seams are soft, and the result is that of the whole."""

from __future__ import annotations

import inspect
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from nodes.tinymodels import Shelf
from torch import Tensor
from torch.nn import functional

import graphengine_storybook
from graphengine.types import Image
from graphengine_diffusion.autoencoding import (
    frugal_tile,
    vae_decode,
    vae_decode_in_tiles,
    vae_encode,
    vae_encode_in_tiles,
)
from graphengine_diffusion.loading import LoadedModel, load_model
from graphengine_diffusion.tiling import starts, tiled, tiles
from graphengine_diffusion.types import Latent
from graphengine_storybook.batches import pixels
from graphengine_storybook.world import make

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def ctx() -> Shelf:
    return Shelf(Path(graphengine_storybook.__file__).parent / "models")


@pytest.fixture(scope="module")
def model(ctx: Shelf) -> LoadedModel:
    return load_model(ctx=ctx)


@pytest.fixture(scope="module")
def picture() -> Image:
    """Four scenes of the small model's world, as one picture of 256 x 256."""

    rng = Random("tiles")
    scenes = pixels([make(rng, "any") for _ in range(4)]).float()
    scenes = (scenes / 255 if scenes.max() > 1 else scenes).movedim(1, -1)
    return torch.cat([torch.cat([scenes[0], scenes[1]], 1), torch.cat([scenes[2], scenes[3]], 1)])[None]


sizes = st.tuples(st.integers(1, 60), st.integers(2, 20), st.integers(1, 6)).filter(lambda s: s[2] < s[1])


@given(sizes)
def test_tiles_cover_a_side_and_share_enough(size: tuple[int, int, int]) -> None:
    length, tile, overlap = size
    found = starts(length, tile, overlap)
    assert found[0] == 0
    assert found[-1] == max(0, length - tile)
    for here, following in pairwise(found):
        assert overlap <= here + tile - following < tile


@given(st.integers(2, 24), st.integers(2, 24), st.integers(4, 9), st.sampled_from([(1, 3), (3, 1), (1, 1)]))
def test_what_looks_at_each_place_alone_is_the_same_in_tiles(
    height: int, width: int, tile: int, sides: tuple[int, int]
) -> None:
    reads, writes = sides
    items = torch.randn(2, 3, height * reads, width * reads, generator=torch.Generator().manual_seed(0))

    def function(x: Tensor) -> Tensor:
        return functional.avg_pool2d(x, reads).repeat_interleave(writes, 2).repeat_interleave(writes, 3) * 2

    told: list[tuple[int, int]] = []
    found = tiled(function, items, tile, max(1, tile // 4), reads, writes, lambda *n: told.append(n))
    torch.testing.assert_close(found, function(items), rtol=1e-5, atol=1e-5)
    count = 2 * len(tiles(height, width, tile, max(1, tile // 4), reads, writes))
    assert told == [(n, count) for n in range(1, count + 1)]


def test_no_tile_is_larger_than_asked_for() -> None:
    seen: list[Any] = []

    def function(x: Tensor) -> Tensor:
        seen.append(tuple(x.shape))
        return x

    tiled(function, torch.zeros(2, 4, 20, 30), 8, 2, 1, 1, lambda *_: None)
    assert set(seen) == {(1, 4, 8, 8)}


def test_a_seam_goes_evenly_from_one_tile_to_the_next() -> None:
    numbers = iter([0.0, 1.0])
    found = tiled(
        lambda x: torch.full_like(x, next(numbers)), torch.zeros(1, 1, 8, 12), 8, 4, 1, 1, lambda *_: None
    )
    torch.testing.assert_close(
        found[0, 0, 0], torch.tensor([0, 0, 0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1, 1, 1])
    )


@pytest.mark.parametrize(("tile", "mean"), [(64, 0.015), (128, 0.008), (192, 0.004)])
def test_decoding_in_tiles_gives_nearly_the_same_picture(
    model: LoadedModel, ctx: Shelf, picture: Image, tile: int, mean: float
) -> None:
    latent = vae_encode(model.vae, picture, ctx)
    difference = (vae_decode(model.vae, latent, ctx, tile) - vae_decode(model.vae, latent, ctx)).abs()
    assert 0 < difference.mean() < mean
    assert difference.max() < 0.4


def test_encoding_in_tiles_gives_the_same_latents(model: LoadedModel, ctx: Shelf, picture: Image) -> None:
    whole, parts = (vae_encode(model.vae, picture, ctx, tile) for tile in (None, 64))
    assert whole.seeds == parts.seeds
    torch.testing.assert_close(parts.samples, whole.samples, rtol=1e-3, atol=1e-3)


def test_a_tile_as_large_as_the_picture_is_the_whole(model: LoadedModel, ctx: Shelf, picture: Image) -> None:
    latent = vae_encode(model.vae, picture, ctx)
    assert torch.equal(vae_decode(model.vae, latent, ctx, 256), vae_decode(model.vae, latent, ctx))


def test_results_of_tiles_are_ordinary_tensors(model: LoadedModel, ctx: Shelf, picture: Image) -> None:
    latent = vae_encode(model.vae, picture, ctx, 128)
    assert not latent.samples.is_inference()
    assert not vae_decode(model.vae, latent, ctx, 128).is_inference()


def test_where_memory_is_short_it_goes_in_tiles(
    model: LoadedModel, ctx: Shelf, picture: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides: list[int] = []
    module = ctx.use(model.vae)
    hook = module.decoder.register_forward_pre_hook(lambda _, args: sides.append(args[0].shape[-1]))
    try:
        latent = vae_encode_in_tiles(model.vae, picture, ctx)
        frugal = vae_decode_in_tiles(model.vae, latent, ctx)
        wanted = vae_decode(model.vae, Latent(latent.samples, latent.spec, latent.seeds), ctx, 128)
    finally:
        hook.remove()
    assert set(sides) == {16}, "half of the picture's side"
    assert torch.equal(frugal, wanted)


@pytest.mark.parametrize(("node", "companion"), [
    (vae_encode, vae_encode_in_tiles), (vae_decode, vae_decode_in_tiles),
])  # fmt: skip
def test_the_frugal_way_takes_what_the_node_takes(node: Any, companion: Any) -> None:
    assert list(inspect.signature(node).parameters) == list(inspect.signature(companion).parameters)
    assert node.__graph_node__["frugal"] is companion


@pytest.mark.parametrize(("longest", "side"), [(4096, 512), (768, 384), (100, 64)])
def test_frugal_tiles_are_smaller_than_the_picture(longest: int, side: int) -> None:
    assert frugal_tile(longest) == side
