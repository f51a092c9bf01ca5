"""Text through CLIP: weights, chunks, skipped layers, and how alike texts are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nodes.tinymodels import Shelf, clip_text_model, clip_tokenizer

import graphengine_storybook
from graphengine_diffusion.clip import CHUNKS, Token, chunks_of, cut, encoded, final_norm, weighted
from graphengine_diffusion.handles import Tower
from graphengine_diffusion.loading import LoadedModel, load_model
from graphengine_diffusion.text import encode_text, text_similarity

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def tower() -> Tower:
    tokenizer = clip_tokenizer()
    return Tower(tokenizer, clip_text_model(tokenizer), 77)


@pytest.fixture(scope="module")
def projecting() -> Tower:
    """One with `text_embeds`, as the second tower of SDXL has."""
    from transformers import CLIPTextModelWithProjection

    tokenizer = clip_tokenizer()
    config = clip_text_model(tokenizer).config
    return Tower(tokenizer, CLIPTextModelWithProjection(config).eval(), 77)


@pytest.fixture(scope="module")
def ctx() -> Shelf:
    return Shelf(Path(graphengine_storybook.__file__).parent / "models")


@pytest.fixture(scope="module")
def model(ctx: Shelf) -> LoadedModel:
    return load_model(ctx=ctx)


def plainly(tower: Tower, text: str) -> Any:
    """What the encoder itself gives for a text of one chunk."""
    ids = tower.tokenizer(text, padding="max_length", max_length=77, return_tensors="pt").input_ids
    with torch.inference_mode():
        return tower.encoder(ids, output_hidden_states=True)


@pytest.mark.parametrize("text", ["", "a red house beside a tree", "Über-cat, 3 dogs & \N{SNOWMAN}!"])
@torch.inference_mode()
def test_a_text_without_marks_is_encoded_to_the_bit_as_the_encoder_does(tower: Tower, text: str) -> None:
    assert torch.equal(encoded(tower, text).states, plainly(tower, text).last_hidden_state)


@torch.inference_mode()
def test_equal_weights_change_nothing(tower: Tower) -> None:
    plain = encoded(tower, "a red house").states
    assert torch.equal(encoded(tower, "a ([red]) (house:1)").states, plain)


@torch.inference_mode()
def test_a_weight_lengthens_its_tokens(tower: Tower) -> None:
    wanted = encoded(tower, "a red house").states.clone()
    wanted[:, 2] *= 1.4
    found = encoded(tower, "a (red:1.4) house").states
    ratio = found / wanted
    torch.testing.assert_close(ratio, ratio[:, :1, :1].expand_as(ratio))


def test_the_mean_of_a_chunk_is_kept() -> None:
    states = torch.rand(1, 6, 4) - 0.2
    weights = torch.tensor([[1, 1, 1.4, 0.5, 1, 1]])
    found = weighted(states, weights)
    torch.testing.assert_close(found.mean(), states.mean())
    scaled = states * weights[..., None]
    torch.testing.assert_close(found, scaled * (states.mean() / scaled.mean()))


@given(st.integers(0, 1000), st.lists(st.floats(0, 100), min_size=8, max_size=8))
@settings(deadline=None)
def test_weighted_vectors_are_finite_and_no_factor_leaves_the_range_of_the_weights(
    seed: int, weights: list[float]
) -> None:
    states = torch.randn(1, 8, 4, generator=torch.Generator().manual_seed(seed))
    given = torch.tensor([weights])
    found = weighted(states, given)
    assert found.isfinite().all()
    scaled = states * given[..., None]
    factor = float(found.norm() / scaled.norm()) if scaled.any() else 1.0
    assert 0.999 / max(1.0, *weights) <= factor <= 10.001


def test_each_chunk_keeps_a_mean_of_its_own() -> None:
    states = torch.rand(2, 5, 3)
    weights = torch.ones(2, 5)
    weights[1, 2] = 1.5
    found = weighted(states, weights)
    assert torch.equal(found[0], states[0])
    torch.testing.assert_close(found.mean((1, 2)), states.mean((1, 2)))


@torch.inference_mode()
def test_a_long_prompt_is_its_chunks_behind_one_another(tower: Tower) -> None:
    first, second = "red " * 75, "a blue cat"
    found = encoded(tower, first + second).states
    assert found.shape == (1, 154, 32)
    both = [plainly(tower, part).last_hidden_state for part in (first, second)]
    torch.testing.assert_close(found, torch.cat(both, 1), rtol=1e-5, atol=1e-5)


@torch.inference_mode()
def test_break_begins_a_chunk(tower: Tower) -> None:
    found = encoded(tower, "a red house BREAK a (blue:1.3) cat").states
    parts = [encoded(tower, part).states for part in ("a red house", "a (blue:1.3) cat")]
    torch.testing.assert_close(found, torch.cat(parts, 1), rtol=1e-5, atol=1e-5)


@torch.inference_mode()
def test_the_first_chunk_speaks_for_the_whole_text(projecting: Tower) -> None:
    found = encoded(projecting, "a red house BREAK a blue cat")
    assert found.pooled is not None
    assert found.pooled.shape == (1, 32)
    torch.testing.assert_close(
        found.pooled, plainly(projecting, "a red house").text_embeds, rtol=1e-5, atol=1e-5
    )


@torch.inference_mode()
def test_clip_skip_leaves_out_layers(tower: Tower) -> None:
    text = "a red house"
    states = plainly(tower, text).hidden_states
    norm = final_norm(tower.encoder)
    torch.testing.assert_close(encoded(tower, text, clip_skip=1).states, norm(states[-2]))
    torch.testing.assert_close(encoded(tower, text, layer=-2).states, states[-2])
    torch.testing.assert_close(encoded(tower, text, layer=-2, clip_skip=1).states, states[-3])
    with pytest.raises(
        ValueError, match="clip_skip: 3 leaves out too much of an encoder of 3 layers; choose 2"
    ):
        encoded(tower, text, clip_skip=3)
    with pytest.raises(ValueError, match="choose 1 or less"):
        encoded(tower, text, layer=-2, clip_skip=2)


COMMA, WORD = 7, 1


def row(*numbers: int) -> list[Token]:
    return [Token(number, 1.0) for number in numbers]


def test_a_chunk_ends_behind_a_comma_that_is_near_its_end() -> None:
    near = [WORD] * 60 + [COMMA] + [WORD] * 20
    assert [len(chunk) for chunk in cut(row(*near), 75, [COMMA])] == [61, 20]
    far = [WORD] * 40 + [COMMA] + [WORD] * 40
    assert [len(chunk) for chunk in cut(row(*far), 75, [COMMA])] == [75, 6]


def test_a_text_that_fits_is_not_cut_at_its_commas() -> None:
    assert [len(chunk) for chunk in cut(row(*[WORD] * 70, COMMA, *[WORD] * 4), 75, [COMMA])] == [75]
    assert cut([], 75, [COMMA]) == [[]]


@given(st.lists(st.sampled_from([WORD, COMMA]), max_size=200), st.integers(1, 75))
def test_cutting_loses_nothing(numbers: list[int], room: int) -> None:
    chunks = cut(row(*numbers), room, [COMMA])
    assert [token.id for chunk in chunks for token in chunk] == numbers
    assert all(len(chunk) <= room for chunk in chunks)
    assert all(chunks) or not numbers


def test_each_chunk_has_its_own_marks(tower: Tower) -> None:
    start, end = tower.tokenizer.bos_token_id, tower.tokenizer.eos_token_id
    for chunk in chunks_of(tower, "red " * 100 + "BREAK a cat"):
        assert len(chunk) == 77
        assert chunk[0].id == start
        assert end in [token.id for token in chunk]


def test_a_prompt_without_end_is_refused(tower: Tower) -> None:
    with pytest.raises(
        ValueError, match=f"the prompt has 3000 tokens in 40 chunks of 75; {CHUNKS} chunks are"
    ):
        encoded(tower, "red " * 3000)


def test_plain_syntax_takes_brackets_as_they_are(model: LoadedModel, ctx: Shelf) -> None:
    text = "a (red:1.5) house"
    plain = encode_text(model.text_encoder, text, ctx, "plain").cross
    escaped = encode_text(model.text_encoder, r"a \(red:1.5\) house", ctx).cross
    weights = encode_text(model.text_encoder, text, ctx).cross
    assert plain is not None
    assert weights is not None
    assert torch.equal(plain, escaped)
    assert not torch.equal(plain, weights)


def test_storybook_reads_more_than_it_was_made_for(model: LoadedModel, ctx: Shelf) -> None:
    long = encode_text(model.text_encoder, "house " * 30 + "lantern", ctx).cross
    exact = encode_text(model.text_encoder, "house " * 30, ctx).cross
    assert long is not None
    assert exact is not None
    assert exact.shape == (1, 32, 128)
    assert long.shape == (1, 64, 128)
    torch.testing.assert_close(long[:, :32], exact, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("by", ["text", "words"])
@pytest.mark.parametrize("centred", [False, True])
def test_a_text_is_most_like_itself_and_like_the_same_said_otherwise(
    model: LoadedModel, ctx: Shelf, by: Any, centred: bool
) -> None:
    texts = ["a red house at night", "a house at night", "a blue cat on the beach", "(odd [text"]
    rows, labels = text_similarity(model.text_encoder, texts, by, centred, ctx)
    table = torch.tensor(rows)
    assert labels == texts
    torch.testing.assert_close(table, table.T)
    torch.testing.assert_close(table.diagonal(), torch.ones(4))
    assert table[0, 1] > table[0, 2]
    assert table.abs().max() <= 1


def test_centring_shows_differences(model: LoadedModel, ctx: Shelf) -> None:
    texts = ["a red house", "a blue house", "a cat", "a dog"]
    plain, centred = (
        torch.tensor(text_similarity(model.text_encoder, texts, "text", c, ctx).rows) for c in (False, True)
    )
    assert plain.min() > 0.5
    assert centred.min() < 0


def test_comparing_no_texts_is_refused(model: LoadedModel, ctx: Shelf) -> None:
    with pytest.raises(ValueError, match="no text to compare; give at least one"):
        text_similarity(model.text_encoder, [], ctx=ctx)
