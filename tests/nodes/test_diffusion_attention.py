from __future__ import annotations

import inspect
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention, AttnProcessor2_0

from graphengine_diffusion.files.attention import tell_signatures


def tiny() -> Any:
    """A U-Net of random weights that reads a text of vectors of 8."""
    torch.manual_seed(0)
    return UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=8,
        attention_head_dim=4,
        norm_num_groups=4,
    ).eval()


def test_processors_that_tell_their_signature_attend_to_the_bit_as_before() -> None:
    module = tiny()
    given = torch.randn(2, 4, 8, 8), torch.tensor([500.0, 500.0]), torch.randn(2, 77, 8)
    with torch.inference_mode():
        before = module(*given, return_dict=False)[0]
        tell_signatures(module)
        assert torch.equal(module(*given, return_dict=False)[0], before)
    told = [part.processor for part in module.modules() if isinstance(part, Attention)]
    assert told
    for processor in told:
        assert isinstance(processor, AttnProcessor2_0)
        assert "__signature__" in vars(type(processor).__call__)
        assert inspect.signature(processor.__call__) == inspect.signature(AttnProcessor2_0().__call__)


def test_a_processor_that_keeps_something_stays_as_it_is() -> None:
    module, keeps = tiny(), AttnProcessor2_0()
    keeps.scale = 0.5  # type: ignore[attr-defined]
    attention = next(part for part in module.modules() if isinstance(part, Attention))
    attention.set_processor(keeps)
    tell_signatures(module)
    assert attention.processor is keeps
