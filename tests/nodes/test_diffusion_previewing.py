"""Previews: rough ones have the right colours, exact ones come when they are asked for."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
import torch
from nodes.tinymodels import Shelf
from torch import Tensor
from torch.nn import functional

import graphengine_storybook
from graphengine.types import Image
from graphengine_diffusion.autoencoding import vae_decode, vae_encode
from graphengine_diffusion.loading import LoadedModel, load_model
from graphengine_diffusion.previewing import (
    fitted,
    latent_colours,
    latent_to_image,
    preview_decoded,
    preview_latent,
    preview_prediction,
    smooth_pictures,
)
from graphengine_diffusion.types import Latent, Prediction, Timestep
from graphengine_storybook.batches import pixels, unit
from graphengine_storybook.world import make

torch.set_num_threads(1)


class Watched(Shelf):
    """A context that keeps what it is shown."""

    def __init__(self, *roots: Path) -> None:
        super().__init__(*roots)
        self.shown: list[Tensor] = []

    def preview(self, image: Image) -> None:
        self.shown.append(image)


@pytest.fixture(scope="module")
def shelf() -> Watched:
    return Watched(Path(graphengine_storybook.__file__).parent / "models")


@pytest.fixture
def ctx(shelf: Watched) -> Watched:
    shelf.shown.clear()
    return shelf


@pytest.fixture(scope="module")
def model(shelf: Watched) -> LoadedModel:
    return load_model(ctx=shelf)


@pytest.fixture(scope="module")
def colours(model: LoadedModel, shelf: Watched) -> list[list[float]]:
    return latent_colours(model.vae, shelf)


@pytest.fixture(scope="module")
def scenes() -> Image:
    """Pictures of the small model's world, which the matrix was not fitted to."""

    rng = Random("preview")
    found: Tensor = unit(pixels([make(rng, "any") for _ in range(4)])).movedim(1, -1) / 2 + 0.5
    return found


def guess(latent: Latent) -> Prediction:
    return Prediction(latent.samples, latent.samples, 1.0, latent.spec, latent.seeds)


def test_a_linear_relation_is_found() -> None:
    matrix = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    latents = torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(1))
    seen = torch.einsum("bchw,cd->bdhw", latents, matrix[:-1]) + matrix[-1].view(1, 3, 1, 1)
    torch.testing.assert_close(fitted(latents, seen), matrix, rtol=1e-4, atol=1e-4)


def test_the_pictures_that_it_is_fitted_to_are_always_the_same_and_colourful() -> None:
    once, again = smooth_pictures(8, 64), smooth_pictures(8, 64)
    assert torch.equal(once, again)
    assert once.min() < 0.1
    assert once.max() > 0.9
    grey = once.mean(1, keepdim=True)
    assert (once - grey).abs().mean() > 0.05


def test_a_rough_picture_has_the_colours_of_the_decoded_one(
    model: LoadedModel, ctx: Watched, colours: list[list[float]], scenes: Image
) -> None:
    latent = vae_encode(model.vae, scenes, ctx)
    rough = latent_to_image(latent, colours)
    assert rough.shape == (4, 128, 128, 3)
    decoded = vae_decode(model.vae, latent, ctx).movedim(-1, 1)
    small = functional.avg_pool2d(rough.movedim(-1, 1), 8)
    assert (small - functional.avg_pool2d(decoded, 8)).abs().mean() < 0.03
    assert decoded.std() > 0.15


def test_small_latents_are_shown_large_enough(colours: list[list[float]], model: LoadedModel) -> None:
    for side, wanted in ((16, 128), (50, 150), (200, 200)):
        image = latent_to_image(Latent(torch.zeros(1, 12, side, side), model.vae.spec, (0,)), colours)
        assert image.shape == (1, wanted, wanted, 3)


def test_both_rough_previews_show_the_same_picture(
    model: LoadedModel, ctx: Watched, colours: list[list[float]], scenes: Image
) -> None:
    latent = vae_encode(model.vae, scenes, ctx)
    preview_latent(latent, colours, ctx)
    preview_prediction(guess(latent), colours, ctx)
    assert len(ctx.shown) == 2
    assert torch.equal(ctx.shown[0], latent_to_image(latent, colours))
    assert torch.equal(ctx.shown[1], ctx.shown[0])


def test_an_exact_preview_comes_at_every_nth_step_and_the_last(
    model: LoadedModel, ctx: Watched, scenes: Image
) -> None:
    latent = vae_encode(model.vae, scenes[:1], ctx)
    ctx.shown.clear()
    shown_at = []
    for index in range(8):
        step = Timestep(index, 8.0 - index, 7.0 - index, 0.0, index / 8)
        preview_decoded(guess(latent), model.vae, step, 3, ctx)
        shown_at += [index] if ctx.shown else []
        for image in ctx.shown:
            assert torch.equal(image, vae_decode(model.vae, latent, ctx))
        ctx.shown.clear()
    assert shown_at == [0, 3, 6, 7]


def test_the_colours_of_another_vae_are_refused(model: LoadedModel, colours: list[list[float]]) -> None:
    wide = Latent(torch.zeros(1, 16, 4, 4), model.vae.spec, (0,))
    with pytest.raises(
        ValueError, match="for 12 channels, but the latent has 16; take them from latent_colours"
    ):
        latent_to_image(wide, colours)
