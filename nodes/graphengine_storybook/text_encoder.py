"""The text encoder: a small CLIPTextModel that first learns to name the scene of a caption.

Three layers, 128 wide, 32 tokens. Every state from the end of the text on is taught to know the
labels of the scene, for the denoiser attends to all of them.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from graphengine_storybook.batches import Batch
from graphengine_storybook.stage import Losses, Stage
from graphengine_storybook.tokenizer import LENGTH
from graphengine_storybook.world import CLASSES, Labels

WIDTH = 128


def build(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """A new encoder for this tokenizer."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=3 * WIDTH,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=LENGTH,
        projection_dim=WIDTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        hidden_act="quick_gelu",
    )
    model = CLIPTextModel(config)
    with torch.no_grad():  # CLIP starts its embeddings at 0.02, which is slow for a model this small
        for name, parameter in model.named_parameters():
            if "token_embedding" in name:
                parameter.mul_(10)
            elif "position_embedding" in name:
                parameter.mul_(5)
    return model


class Reader(nn.Module):
    """The encoder with a head that reads the labels off one of its states."""

    def __init__(self, encoder: CLIPTextModel) -> None:
        super().__init__()
        self.encoder = encoder
        self.end = int(str(encoder.config.eos_token_id))
        self.head = nn.Linear(WIDTH, sum(CLASSES))

    def forward(self, ids: Tensor) -> list[tuple[Tensor, ...]]:
        """Logits of each label, read at the end of the text and at one state behind it."""
        states = self.encoder(ids).last_hidden_state
        rows = torch.arange(len(ids), device=ids.device)
        end = torch.eq(ids, self.end).int().argmax(1)
        behind = torch.minimum(end + torch.randint_like(end, LENGTH), torch.full_like(end, LENGTH - 1))
        return [torch.split(self.head(states[rows, at]), list(CLASSES), 1) for at in (end, behind)]


def label_loss(logits: tuple[Tensor, ...], truth: Tensor) -> Tensor:
    """The sum of the labels' cross entropies."""
    losses = [functional.cross_entropy(scores, truth[:, i]) for i, scores in enumerate(logits)]
    return torch.stack(losses).sum()


def right(logits: tuple[Tensor, ...], truth: Tensor) -> Tensor:
    """Which labels are read correctly: (n, 14), bool."""
    return torch.stack([scores.argmax(1) for scores in logits], 1) == truth


def train(encoder: CLIPTextModel, batches: Iterator[Batch], stage: Stage) -> int:
    """Teach the encoder to name scenes. Returns the captions it has read."""
    reader = Reader(encoder).to(stage.device)

    def step(share: float) -> Losses:
        batch = next(batches)
        truth = batch.labels.to(stage.device)
        at_end, behind = reader(batch.ids.to(stage.device))
        hits = Labels(*right(at_end, truth).float().mean(0).unbind())
        return {
            "loss": (label_loss(at_end, truth) + label_loss(behind, truth)) / 2,
            "kind": hits.kind,
            "colour": hits.colour,
            "other_kind": hits.other_kind,
            "time": hits.time,
            "relation": hits.relation,
        }

    return stage.run(reader, step)
