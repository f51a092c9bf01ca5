"""ControlNets as a node in the loop, against the pipelines of diffusers with the same random weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from nodes.parity import parity_row
from nodes.singlefiles import written
from nodes.tinymodels import Shelf, sd1, sd2, sdxl
from safetensors.torch import save_file
from torch import Tensor

from graphengine.authoring import Folders
from graphengine.errors import ModelError
from graphengine_diffusion.control import (
    control_net_names,
    control_residuals,
    control_residuals_together,
    load_control_net,
)
from graphengine_diffusion.files.layouts import Layout, ldm_control, plain
from graphengine_diffusion.files.presets import ARCHITECTURES, Architecture
from graphengine_diffusion.files.recognition import WIDTHS
from graphengine_diffusion.guidance import cfg
from graphengine_diffusion.latents import noise
from graphengine_diffusion.loading import load_model
from graphengine_diffusion.predicting import predict
from graphengine_diffusion.scheduling import schedule
from graphengine_diffusion.solving import solver_step
from graphengine_diffusion.text import encode_text
from graphengine_diffusion.types import Conditioning, Latent, Residuals, Timestep

# diffusers turns tensors into arrays in a way that numpy 2 wants changed.
pytestmark = [
    pytest.mark.usefixtures("no_network"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

PROMPT, NEGATIVE, SCALE, SEED, STEPS = "a photo of a red house", "bad low quality", 7.5, 1234, 5


def control_net_for(unet: Any, seed: int) -> Any:
    """A ControlNet of a U-Net's build whose last layers are not zero, as they are before training."""
    import diffusers

    torch.manual_seed(seed)
    found = diffusers.ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(8, 16)).eval()
    for layer in (*found.controlnet_down_blocks, found.controlnet_mid_block):
        torch.nn.init.normal_(layer.weight, std=0.3)
        torch.nn.init.normal_(layer.bias, std=0.3)
    return found


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, list[Any], Shelf]:
    """A pipeline, two ControlNets for it, and a context in which nodes find the same weights."""
    root = tmp_path_factory.mktemp("models")
    pipeline = sd1()
    pipeline.set_progress_bar_config(disable=True)
    pipeline.save_pretrained(root / "tiny", safe_serialization=True)
    nets = [control_net_for(pipeline.unet, seed) for seed in (3, 4)]
    for name, net in zip(("edges", "pose"), nets, strict=True):
        net.save_pretrained(root / name, safe_serialization=True)
    return pipeline, nets, Shelf(root)


def picture(seed: int = 9, size: int = 64) -> Tensor:
    return torch.rand(1, size, size, 3, generator=torch.Generator().manual_seed(seed))


def ours(ctx: Shelf, controls: list[dict[str, Any]], model: str = "tiny") -> Tensor:
    """The loop as a workflow has it, with the ControlNets one after the other."""
    denoiser, encoder, _ = load_model(model, ctx)
    texts = [encode_text(encoder, text, ctx) for text in (PROMPT, NEGATIVE)]
    plan = schedule(denoiser, STEPS, "normal")
    x = noise(denoiser, plan.schedule, SEED, ctx=ctx)
    for step in plan.timesteps:
        both: list[Residuals | None] = [None, None]
        for options in controls:
            full = {"start": 0.0, "end": 1.0, **options}
            both = [*control_residuals_together(latent=[x, x], timestep=[step, step], conditioning=texts,
                                                before=both, ctx=ctx, **full)]  # fmt: skip
        cond, uncond = (predict(denoiser, x, step, t, ctx, r) for t, r in zip(texts, both, strict=True))
        x = solver_step(x, cfg(cond, uncond, SCALE), step)
    return x.samples


def theirs(pipeline: Any, nets: Any, images: Any, **options: Any) -> Tensor:
    """The latents of the pipeline with ControlNets."""
    import diffusers

    parts = {k: v for k, v in pipeline.components.items() if k not in ("image_encoder", "scheduler")}
    large = "text_encoder_2" in parts
    kind = (
        diffusers.StableDiffusionXLControlNetPipeline
        if large
        else diffusers.StableDiffusionControlNetPipeline
    )
    scheduler = diffusers.EulerDiscreteScheduler.from_config(
        pipeline.scheduler.config, timestep_spacing="linspace"
    )
    steered = kind(
        **parts, scheduler=scheduler, controlnet=nets, **({} if large else {"requires_safety_checker": False})
    )
    steered.set_progress_bar_config(disable=True)
    found = steered(
        PROMPT,
        negative_prompt=NEGATIVE,
        guidance_scale=SCALE,
        image=images,
        height=64,
        width=64,
        num_inference_steps=STEPS,
        generator=torch.Generator().manual_seed(SEED),
        output_type="latent",
        **options,
    )
    return found.images  # type: ignore[no-any-return]


def planes(image: Tensor) -> Tensor:
    return image.permute(0, 3, 1, 2)


@pytest.mark.parity
def test_a_steered_loop_is_that_of_the_pipeline(models: Any) -> None:
    pipeline, nets, ctx = models
    control = {"control_net": load_control_net("edges", ctx), "image": picture(), "strength": 0.8}
    found = ours(ctx, [control])
    wanted = theirs(pipeline, nets[0], planes(picture()), controlnet_conditioning_scale=0.8)
    parity_row("sd1: a ControlNet in the loop, two calls as one", found, wanted)
    assert (found - ours(ctx, [])).abs().max() > 0.1 * found.abs().max()


@pytest.mark.parity
def test_several_control_nets_each_in_its_window(models: Any) -> None:
    pipeline, nets, ctx = models
    controls: list[dict[str, Any]] = [
        {"control_net": load_control_net("edges", ctx), "image": picture(), "strength": 0.8, "end": 0.6},
        {"control_net": load_control_net("pose", ctx), "image": picture(8), "strength": 0.5, "start": 0.4},
    ]
    wanted = theirs(
        pipeline,
        nets,
        [planes(picture()), planes(picture(8))],
        controlnet_conditioning_scale=[0.8, 0.5],
        control_guidance_start=[0.0, 0.4],
        control_guidance_end=[0.6, 1.0],
    )
    parity_row("sd1: two ControlNets, each in its window", ours(ctx, controls), wanted)


def one(
    models: Any, batch: int = 1, fraction: float = 0.0
) -> tuple[Any, Latent, Timestep, Conditioning, Shelf]:
    """The inputs of one call."""
    _, _, ctx = models
    denoiser, encoder, _ = load_model("tiny", ctx)
    plan = schedule(denoiser, STEPS, "normal")
    x = noise(denoiser, plan.schedule, 3, batch=batch, ctx=ctx)
    step = replace(plan.timesteps[2], fraction=fraction)
    return load_control_net("edges", ctx), x, step, encode_text(encoder, PROMPT, ctx), ctx


def test_calls_that_do_not_depend_on_each_other_are_one(models: Any) -> None:
    net, x, step, text, ctx = one(models)
    other = replace(text, cross=text.cross.flip(1))  # type: ignore[union-attr]
    later = replace(step, sigma=step.sigma / 2, time=step.time / 2)
    sizes: list[int] = []
    hook = ctx.use(net).register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    try:
        found = control_residuals_together(
            net, [x, x], [step, later], [text, other], picture(), 0.7, 0.0, 1.0, [None, None], ctx
        )
    finally:
        hook.remove()
    assert sizes == [2]
    single = [
        control_residuals(net, x, at, c, picture(), 0.7, ctx=ctx) for at, c in ((step, text), (later, other))
    ]
    for a, b in zip(found, single, strict=True):
        for p, q in zip((*a.down, a.mid), (*b.down, b.mid), strict=True):
            torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-5)
            assert not p.is_inference()


@pytest.mark.parametrize(("fraction", "acts"), [(0.19, False), (0.2, True), (0.79, True), (0.8, False)])
def test_outside_of_its_window_it_adds_zeros_and_is_not_called(
    models: Any, fraction: float, acts: bool
) -> None:
    net, x, step, text, ctx = one(models, batch=2, fraction=fraction)
    calls: list[None] = []
    hook = ctx.use(net).register_forward_pre_hook(lambda *_: calls.append(None))
    try:
        found = control_residuals(net, x, step, text, picture(), 1.0, 0.2, 0.8, ctx=ctx)
    finally:
        hook.remove()
    assert bool(calls) == acts
    assert any(bool(each.any()) for each in found.down) == acts
    shapes = [each.shape for each in control_residuals(net, x, step, text, picture(), ctx=ctx).down]
    assert [each.shape for each in found.down] == shapes


def test_zeros_have_the_shapes_of_residuals_for_odd_sides_too(models: Any) -> None:
    net, x, step, text, ctx = one(models)
    odd = Latent(x.samples[..., :13, :], x.spec, x.seeds)
    wanted = control_residuals(net, odd, step, text, picture(), ctx=ctx)
    found = control_residuals(net, odd, step, text, picture(), strength=0.0, ctx=ctx)
    for a, b in zip((*found.down, found.mid), (*wanted.down, wanted.mid), strict=True):
        assert a is not None
        assert b is not None
        assert a.shape == b.shape
        assert not a.any()


def test_before_is_added(models: Any) -> None:
    net, x, step, text, ctx = one(models)
    first = control_residuals(net, x, step, text, picture(), ctx=ctx)
    both = control_residuals(net, x, step, text, picture(8), before=first, ctx=ctx)
    second = control_residuals(net, x, step, text, picture(8), ctx=ctx)
    for a, b, c in zip(both.down, first.down, second.down, strict=True):
        torch.testing.assert_close(a, b + c)
    smaller = Latent(x.samples[..., :16, :16], x.spec, x.seeds)
    with pytest.raises(ValueError, match="for another kind of model or another size"):
        control_residuals(net, smaller, step, text, picture(), before=first, ctx=ctx)


def test_the_picture_is_resized_and_grey_and_alpha_are_taken(models: Any) -> None:
    net, x, step, text, ctx = one(models, batch=2)
    image = picture()
    large = image.repeat_interleave(2, 1).repeat_interleave(2, 2)
    wanted = control_residuals(net, x, step, text, image, ctx=ctx)
    with_alpha = torch.cat([image, torch.zeros(1, 64, 64, 1)], -1)
    for same in (with_alpha, image.expand(2, -1, -1, -1)):
        found = control_residuals(net, x, step, text, same, ctx=ctx)
        assert all(torch.equal(a, b) for a, b in zip(found.down, wanted.down, strict=True))
    assert control_residuals(net, x, step, text, large, ctx=ctx).down[0].shape == wanted.down[0].shape
    grey = image.mean(-1, keepdim=True)
    found = control_residuals(net, x, step, text, grey, ctx=ctx)
    wanted = control_residuals(net, x, step, text, grey.expand(-1, -1, -1, 3), ctx=ctx)
    assert all(torch.equal(a, b) for a, b in zip(found.down, wanted.down, strict=True))
    with pytest.raises(ValueError, match="the image has 2 channels, but the ControlNet edges reads 3"):
        control_residuals(net, x, step, text, torch.zeros(1, 64, 64, 2), ctx=ctx)
    with pytest.raises(ValueError, match="there are 3 pictures and the latent has 2 items"):
        control_residuals(net, x, step, text, torch.zeros(3, 64, 64, 3), ctx=ctx)


def test_a_control_net_of_another_family_is_told(models: Any) -> None:
    net, x, step, text, ctx = one(models)
    wide = Conditioning(torch.zeros(1, 77, 2048))
    with pytest.raises(ValueError, match="2048 wide, but the ControlNet edges reads 32; it was made"):
        control_residuals(net, x, step, wide, picture(), ctx=ctx)
    many = Latent(torch.zeros(1, 16, 32, 32), x.spec, (0,))
    with pytest.raises(ValueError, match="16 channels, but the ControlNet edges reads 4; use one"):
        control_residuals(net, many, step, text, picture(), ctx=ctx)
    with pytest.raises(ValueError, match="reads the text as one vector too, as SDXL does"):
        control_residuals(replace(net, sized=True), x, step, text, picture(), ctx=ctx)


@pytest.mark.parity
def test_a_control_net_of_a_model_that_predicts_v(tmp_path: Path) -> None:
    pipeline = sd2()
    pipeline.set_progress_bar_config(disable=True)
    pipeline.save_pretrained(tmp_path / "wide", safe_serialization=True)
    module = control_net_for(pipeline.unet, 7)
    module.save_pretrained(tmp_path / "edges_wide", safe_serialization=True)
    ctx = Shelf(tmp_path)
    control = {"control_net": load_control_net("edges_wide", ctx), "image": picture(), "strength": 0.5}
    found = ours(ctx, [control], "wide")
    wanted = theirs(pipeline, module, planes(picture()), controlnet_conditioning_scale=0.5)
    parity_row("sd2: a ControlNet in the loop, two calls as one", found, wanted)


@pytest.mark.parity
def test_a_control_net_of_sdxl_is_told_the_text_and_the_size(tmp_path: Path) -> None:
    pipeline = sdxl()
    pipeline.set_progress_bar_config(disable=True)
    pipeline.save_pretrained(tmp_path / "large", safe_serialization=True)
    module = control_net_for(pipeline.unet, 6)
    module.save_pretrained(tmp_path / "edges_large", safe_serialization=True)
    ctx = Shelf(tmp_path)
    net = load_control_net("edges_large", ctx)
    assert net.sized
    control = {"control_net": net, "image": picture(), "strength": 0.5}
    found = ours(ctx, [control], "large")
    wanted = theirs(pipeline, module, planes(picture()), controlnet_conditioning_scale=0.5)
    parity_row("sdxl: a ControlNet in the loop, two calls as one", found, wanted)
    denoiser, encoder, _ = load_model("large", ctx)
    plan = schedule(denoiser, STEPS, "normal")
    x, step = noise(denoiser, plan.schedule, 3, ctx=ctx), plan.timesteps[2]
    text = encode_text(encoder, PROMPT, ctx)
    told = replace(text, extra={"original_size": torch.tensor([[512.0, 512.0]])})
    plain, other = (control_residuals(net, x, step, c, picture(), 0.5, ctx=ctx) for c in (text, told))
    assert not torch.equal(other.down[-1], plain.down[-1])


@pytest.mark.parametrize("prefix", ["control_model.", "", None], ids=["authors", "authors_bare", "diffusers"])
def test_a_single_file_is_its_folder(
    models: Any, tmp_path: Path, prefix: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, nets, _ = models
    wanted = nets[0].state_dict()
    unet = dict(nets[0].config) | {"up_block_types": ("UpBlock2D",)}
    monkeypatch.setitem(ARCHITECTURES, "unet_sd1", Architecture("UNet2DConditionModel", unet))
    monkeypatch.setitem(WIDTHS, 32, "sd1")
    monkeypatch.setattr(
        "graphengine_diffusion.files.weights.OF_A_CONTROL_NET", set(unet) - {"up_block_types"}
    )
    layout = Layout("", plain) if prefix is None else Layout(prefix, ldm_control)
    save_file(written(nets[0], layout), tmp_path / "single.safetensors")
    ctx = Shelf(tmp_path)
    net = load_control_net("single", ctx)
    assert (net.widths, net.text_width, net.factor) == ((8, 16), 32, 2)
    found = ctx.use(net).state_dict()
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items())
    monkeypatch.delitem(WIDTHS, 32)
    with pytest.raises(ModelError, match="single is a ControlNet for no family that is known; single files"):
        load_control_net("single", ctx)


def test_the_authors_names_are_those_that_diffusers_converts() -> None:
    """Each weight of a ControlNet of full depth, by its original name, is where diffusers puts it."""
    import diffusers
    from diffusers.loaders.single_file_utils import convert_controlnet_checkpoint

    net = diffusers.ControlNetModel(
        block_out_channels=(8, 8, 8, 8), norm_num_groups=4, cross_attention_dim=8, attention_head_dim=2
    )
    original = {f"control_model.{name}": t for name, t in written(net, Layout("", ldm_control)).items()}
    found = convert_controlnet_checkpoint(original, dict(net.config))
    wanted = net.state_dict()
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items())


def test_the_choices_are_the_control_nets_under_the_roots(models: Any, tmp_path: Path) -> None:
    _, nets, ctx = models
    nets[0].save_pretrained(tmp_path / "nets" / "edges", safe_serialization=True)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{")
    assert control_net_names(Folders(models=(*ctx.folders.models, tmp_path))) == [
        "edges",
        "nets/edges",
        "pose",
    ]
    assert load_control_net("nets/edges", Shelf(tmp_path)).widths == (8, 16)


def sd1_net_that_pools() -> Any:
    import diffusers

    return diffusers.ControlNetModel(
        block_out_channels=(8, 8, 8, 8), norm_num_groups=4, cross_attention_dim=8, attention_head_dim=2,
        global_pool_conditions=True,
    )  # fmt: skip


def test_what_is_no_control_net_is_told(models: Any, tmp_path: Path) -> None:
    _, _, ctx = models
    with pytest.raises(
        ModelError, match="tiny/unet is a UNet2DConditionModel, not a ControlNet; these are known"
    ):
        load_control_net("tiny/unet", ctx)
    save_file({"emb_params": torch.zeros(2, 768)}, tmp_path / "one.safetensors")
    with pytest.raises(ModelError, match="one is an embedding for sd1, not a ControlNet"):
        load_control_net("one", Shelf(tmp_path))
    sd1_net_that_pools().save_pretrained(tmp_path / "shuffle", safe_serialization=True)
    with pytest.raises(ModelError, match="pools its residuals over the picture, which is not read"):
        load_control_net("shuffle", Shelf(tmp_path))
