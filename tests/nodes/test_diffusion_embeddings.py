"""Embeddings: words that a text encoder is taught, against diffusers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from nodes.parity import parity_row
from nodes.tinymodels import Shelf, sd1
from safetensors.torch import save_file
from torch import Tensor

from graphengine.authoring import Folders
from graphengine.errors import ModelError
from graphengine.pool import ModelPool
from graphengine_diffusion.embeddings import embedding_names, load_embedding
from graphengine_diffusion.handles import TextEncoder
from graphengine_diffusion.loading import load_model
from graphengine_diffusion.text import encode_text

pytestmark = [
    pytest.mark.usefixtures("no_network"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


def vectors(count: int, seed: int = 0, width: int = 32) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed)) * 0.5


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Shelf]:
    """A pipeline, and a context with the same weights and some embeddings."""
    root = tmp_path_factory.mktemp("models")
    pipeline = sd1()
    pipeline.save_pretrained(root / "tiny", safe_serialization=True)
    save_file({"emb_params": vectors(3)}, root / "toy.safetensors")
    save_file({"<ink>": vectors(1, 1)[0]}, root / "ink.safetensors")
    (root / "embeddings").mkdir()
    save_file({"clip_l": vectors(2, 2), "clip_g": vectors(2, 3)}, root / "embeddings" / "both.safetensors")
    save_file({"emb_params": vectors(2, 4, width=768)}, root / "wide.safetensors")
    return pipeline, Shelf(root)


@pytest.fixture
def encoder(models: Any) -> TextEncoder:
    return load_model("tiny", models[1]).text_encoder


def encoded(ctx: Shelf, encoder: TextEncoder, text: str) -> Tensor:
    found = encode_text(encoder, text, ctx).cross
    assert found is not None
    return found


PROMPTS = ["a photo of toy", "toy", "<toy> at night", "a red embedding:toy, a toy and a house"]


@pytest.mark.parity
@pytest.mark.parametrize("prompt", PROMPTS)
def test_a_word_is_what_diffusers_makes_of_it(models: Any, encoder: TextEncoder, prompt: str) -> None:
    _, ctx = models
    reference = sd1()
    reference.load_textual_inversion(str(ctx.folders.models[0] / "toy.safetensors"), token="<toy>")
    plain = prompt.replace("embedding:toy", "<toy>").replace("<toy>", "toy").replace("toy", "<toy>")
    wanted, _ = reference.encode_prompt(plain, "cpu", 1, do_classifier_free_guidance=False)
    taught = load_embedding(encoder, "toy", ctx=ctx)
    found = encoded(ctx, taught, prompt)
    parity_row(f"sd1: textual inversion, {prompt!r}", found, wanted)
    assert (found - encoded(ctx, encoder, prompt)).abs().max() > 0.1


def test_a_word_counts_as_many_tokens_as_it_has_vectors(models: Any, encoder: TextEncoder) -> None:
    _, ctx = models
    ((words, _, _),) = ctx.use(load_embedding(encoder, "toy", ctx=ctx))
    size = len(ctx.use(encoder)[0].tokenizer)
    plain = words("a red house").input_ids
    start, a, _, house, end = plain
    assert words("a <toy> house").input_ids == [start, a, size, size + 1, size + 2, house, end]
    assert words(["a TOY house", "a red house"]).input_ids == [
        [start, a, size, size + 1, size + 2, house, end],
        plain,
    ]
    # A word is whole: these are other words.
    for other in ("toys", "stoy", "toy_a"):
        assert max(words(other).input_ids) < size


def test_texts_without_the_word_are_as_they_were(models: Any, encoder: TextEncoder) -> None:
    _, ctx = models
    taught = load_embedding(encoder, "toy", ctx=ctx)
    for text in ("", "a photo of a red house", "toys <b> embedding: x"):
        assert torch.equal(encoded(ctx, taught, text), encoded(ctx, encoder, text))


def test_several_words_and_a_token_of_ones_own(models: Any, encoder: TextEncoder) -> None:
    _, ctx = models
    both = load_embedding(load_embedding(encoder, "toy", ctx=ctx), "ink", "<my style>", ctx)
    only = load_embedding(encoder, "ink.safetensors", "style", ctx)
    assert torch.equal(encoded(ctx, both, "a cat in my style"), encoded(ctx, only, "a cat in style"))
    alone = load_embedding(encoder, "toy", ctx=ctx)
    assert torch.equal(encoded(ctx, both, "a toy cat"), encoded(ctx, alone, "a toy cat"))
    with pytest.raises(ValueError, match="knows 'TOY' already; choose another token"):
        load_embedding(both, "ink", "TOY", ctx)
    with pytest.raises(ValueError, match="the token is empty"):
        load_embedding(encoder, "ink", "<>", ctx)


def test_the_encoder_is_shared_and_stays_as_it_is(models: Any, encoder: TextEncoder) -> None:
    _, ctx = models
    pool = ModelPool("cpu", ctx.folders)
    plain = pool.use(encoder)[0]
    used, size = pool.used, len(plain.tokenizer)
    taught = pool.use(load_embedding(encoder, "toy", ctx=ctx))[0]
    assert pool.used == used + 3 * 32 * 4
    assert len(plain.tokenizer) == size
    assert plain.encoder.get_input_embeddings().weight is taught.encoder.get_input_embeddings().weight
    assert type(plain.encoder.get_input_embeddings()) is torch.nn.Embedding


def two_towers(encoder: TextEncoder) -> TextEncoder:
    """As if the model had a second encoder of the same kind."""
    return replace(encoder, parts=encoder.parts * 2, tokenizers=encoder.tokenizers * 2)


def test_each_encoder_of_sdxl_gets_its_own_vectors(models: Any, encoder: TextEncoder) -> None:
    _, ctx = models
    first, second = ctx.use(load_embedding(two_towers(encoder), "embeddings/both", ctx=ctx))
    for tower, seed in ((first, 2), (second, 3)):
        assert torch.equal(tower.encoder.get_input_embeddings().vectors, vectors(2, seed))
        assert "<|both-1|>" in tower.tokenizer.spelled("both")
    first, second = ctx.use(load_embedding(two_towers(encoder), "toy", ctx=ctx))
    assert first.encoder is not second.encoder
    assert type(second.encoder.get_input_embeddings()) is torch.nn.Embedding


def test_the_end_of_a_text_is_found_behind_added_words(models: Any, encoder: TextEncoder) -> None:
    """Older CLIP models take the largest number for the end of the text."""
    _, ctx = models
    ((tokenizer, module, _),) = ctx.use(encoder)
    old, module.eos_token_id = module.eos_token_id, 2
    try:
        handle = load_embedding(encoder, "toy", ctx=ctx)
        words, vectors = (
            member.derive(part, ctx.folders, "cpu")  # type: ignore[union-attr]
            for member, part in zip(handle.members, (tokenizer, module), strict=True)
        )
        found = vectors(torch.tensor([words("a toy house").input_ids]))
        assert torch.equal(found.pooler_output[0], found.last_hidden_state[0, -1])
        assert module.eos_token_id == 2
    finally:
        module.eos_token_id = old


def test_an_embedding_of_another_family_is_told(models: Any, encoder: TextEncoder, tmp_path: Path) -> None:
    _, ctx = models
    told = "wide.safetensors has vectors of width 768, but this CLIPTextModel reads 32; it was made"
    with pytest.raises(ModelError, match=told):
        load_embedding(encoder, "wide", ctx=ctx).load(ctx.folders, "cpu")
    save_file({"t5xxl": vectors(1)}, tmp_path / "t5.safetensors")
    here = Shelf(tmp_path, *ctx.folders.models)
    with pytest.raises(ModelError, match=r"t5.safetensors is for t5xxl, which tiny has not"):
        load_embedding(encoder, "t5", ctx=here)
    save_file({"a": vectors(1), "b": vectors(1)}, tmp_path / "two.safetensors")
    with pytest.raises(ModelError, match=r"two.safetensors is no embedding"):
        load_embedding(encoder, "two", ctx=here)


def test_the_choices_are_the_embeddings_under_the_roots(models: Any, tmp_path: Path) -> None:
    _, ctx = models
    save_file({"a.weight": torch.zeros(1, 2, 3)}, tmp_path / "other.safetensors")
    names = embedding_names(Folders(models=(*ctx.folders.models, tmp_path)))
    assert names == ["both", "toy", "wide"]
