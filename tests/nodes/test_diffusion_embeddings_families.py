"""Embeddings in families with several text encoders: the whole loop against diffusers' pipelines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from nodes.parity import parity_row
from nodes.references import NEGATIVE, ours, steps_of, texts_of, theirs, unit_noise
from nodes.tinymodels import MODELS, Gallery, Shelf
from safetensors.torch import save_file
from torch import Tensor

from graphengine_diffusion.embeddings import load_embedding
from graphengine_diffusion.types import Conditioning

# diffusers turns tensors into arrays in a way that numpy 2 wants changed.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

COUNT = 3
PROMPT = "a photo of <toy> at night"

ENCODERS: list[tuple[str, dict[str, str], dict[str, Any]]] = [
    ("sd2", {"emb_params": ""}, {"guidance_scale": 5.0}),
    ("sdxl", {"clip_l": "", "clip_g": "_2"}, {"guidance_scale": 5.0}),
    ("sd3", {"clip_l": "", "clip_g": "_2", "t5xxl": "_3"}, {"guidance_scale": 5.0}),
    ("sd3 without T5", {"clip_l": "", "clip_g": "_2"}, {"guidance_scale": 5.0}),
    ("flux dev", {"clip_l": "", "t5xxl": "_2"}, {"guidance_scale": 3.5, "true_cfg_scale": 5.0}),
    ("flux schnell", {"clip_l": ""}, {"true_cfg_scale": 5.0, "max_sequence_length": 256}),
]
"""The families, the ending of each encoder's name in the pipeline, and what the pipeline is told."""


def vectors_for(pipeline: Any, endings: dict[str, str]) -> dict[str, Tensor]:
    """Random vectors as wide as each encoder reads them."""
    g = torch.Generator().manual_seed(5)
    found = {}
    for entry, ending in endings.items():
        table = getattr(pipeline, f"text_encoder{ending}").get_input_embeddings().weight
        found[entry] = torch.randn(COUNT, table.shape[1], generator=g) * 2 * table.std()
    return found


def taught(pipeline: Any, ending: str, vectors: Tensor) -> None:
    """Teach one encoder of a pipeline the word <toy>: by diffusers, or by hand where it cannot."""
    encoder, words = (getattr(pipeline, f"{kind}{ending}") for kind in ("text_encoder", "tokenizer"))
    if hasattr(pipeline, "load_textual_inversion"):
        pipeline.load_textual_inversion(vectors, token="<toy>", tokenizer=words, text_encoder=encoder)
        return
    size = len(words)
    words.add_tokens(["<toy>", *(f"<toy>_{n}" for n in range(1, COUNT))])
    table = torch.nn.Embedding(size + COUNT, vectors.shape[1])
    with torch.no_grad():
        table.weight.copy_(torch.cat([encoder.get_input_embeddings().weight[:size], vectors]))
    encoder.set_input_embeddings(table)


@pytest.mark.parity
@pytest.mark.parametrize(("name", "endings", "options"), ENCODERS, ids=[row[0] for row in ENCODERS])
def test_a_loop_with_a_word_that_each_encoder_was_taught(
    gallery: Gallery, tmp_path: Path, name: str, endings: dict[str, str], options: dict[str, Any]
) -> None:
    model, pipeline = gallery.model(name), MODELS[name]()
    pipeline.scheduler = gallery.pipeline(name).scheduler
    vectors = vectors_for(pipeline, endings)
    save_file(vectors, tmp_path / "toy.safetensors")
    for entry, ending in endings.items():
        taught(pipeline, ending, vectors[entry])
    prompt = PROMPT
    if not hasattr(pipeline, "load_textual_inversion"):
        prompt = prompt.replace("<toy>", " ".join(["<toy>", *(f"<toy>_{n}" for n in range(1, COUNT))]))
    wanted, _ = theirs(pipeline, prompt=prompt, negative_prompt=NEGATIVE, **options)

    ctx = Shelf(gallery.root, tmp_path)
    encoder = load_embedding(model.text_encoder, "toy", ctx=ctx)
    start = unit_noise(model) * float(getattr(pipeline.scheduler, "init_noise_sigma", 1.0))
    steps = steps_of(pipeline.scheduler, model.denoiser.predicts == "flow")

    def told(words: Any) -> list[Conditioning]:
        return texts_of(ctx, model._replace(text_encoder=words), PROMPT, NEGATIVE)

    found = ours(ctx, model, start, steps, told(encoder), 5.0).samples
    what = ", ".join(endings)
    parity_row(f"{name}: text to image with a textual inversion ({what})", found, wanted)
    once = [
        ours(ctx, model, start, steps[:1], told(words), 5.0).samples
        for words in (encoder, model.text_encoder)
    ]
    assert (once[0] - once[1]).abs().max() > 1e-3 * (once[0] - start).abs().max()
