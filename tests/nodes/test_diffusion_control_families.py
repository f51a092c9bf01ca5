"""ControlNets of Stable Diffusion 3 and Flux in the loop, against the pipelines of diffusers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from nodes.parity import parity_row
from nodes.references import NEGATIVE, PROMPT, SEED, SIDE, steps_of, texts_of, theirs, unit_noise
from nodes.tinymodels import Gallery, Shelf
from safetensors.torch import save_file
from torch import Tensor

from graphengine.config import Settings
from graphengine.errors import ModelError
from graphengine.session import Session
from graphengine_diffusion.autoencoding import vae_encode
from graphengine_diffusion.control import (
    control_net_names,
    control_residuals,
    control_residuals_together,
    load_control_net,
)
from graphengine_diffusion.families import flux1
from graphengine_diffusion.families.flux1 import packed, places, unpacked
from graphengine_diffusion.guidance import cfg
from graphengine_diffusion.loading import LoadedModel
from graphengine_diffusion.predicting import predict_together
from graphengine_diffusion.solving import solver_step
from graphengine_diffusion.types import Latent, Residuals, Timestep

# diffusers turns tensors into arrays in a way that numpy 2 wants changed.
pytestmark = [
    pytest.mark.usefixtures("most_likely_latents"),
    # diffusers builds its own ControlNet of Flux from a name that it deprecates.
    pytest.mark.filterwarnings("ignore:`FluxPosEmbed` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


def trained(net: Any) -> Any:
    """The net with last layers that are not zero, as they are before training."""
    layers = [*net.controlnet_blocks, *getattr(net, "controlnet_single_blocks", ())]
    layers.append(net.pos_embed_input.proj if hasattr(net, "pos_embed_input") else net.controlnet_x_embedder)
    if getattr(net, "input_hint_block", None) is not None:
        layers.append(net.input_hint_block.conv_out)
    for layer in layers:
        torch.nn.init.normal_(layer.weight, std=0.2)
        torch.nn.init.normal_(layer.bias, std=0.2)
    return net.eval()


def sd3_net(seed: int = 3, **settings: Any) -> Any:
    """A ControlNet for the tiny Stable Diffusion 3, one block deep."""
    import diffusers

    torch.manual_seed(seed)
    sizes: dict[str, Any] = {
        "sample_size": 32, "num_layers": 1, "attention_head_dim": 8, "num_attention_heads": 4,
        "joint_attention_dim": 96, "caption_projection_dim": 32, "pooled_projection_dim": 80,
        "pos_embed_max_size": 48,
    }  # fmt: skip
    return trained(diffusers.SD3ControlNetModel(**sizes | settings))


def flux_net(seed: int = 3, **settings: Any) -> Any:
    """A ControlNet for the tiny Flux, with one block of each kind."""
    import diffusers

    torch.manual_seed(seed)
    sizes: dict[str, Any] = {
        "num_layers": 1, "num_single_layers": 1, "attention_head_dim": 16, "num_attention_heads": 2,
        "joint_attention_dim": 32, "pooled_projection_dim": 32, "axes_dims_rope": [4, 4, 8],
    }  # fmt: skip
    return trained(diffusers.FluxControlNetModel(**sizes | settings))


NETS: dict[str, Any] = {
    "sd3 plain": sd3_net,
    "sd3 pooled": lambda: sd3_net(4, force_zeros_for_pooled_projection=False),
    "sd3 other": lambda: sd3_net(5),
    "flux plain": flux_net,
    "flux guided": lambda: flux_net(4, guidance_embeds=True),
    "flux doubles": lambda: flux_net(5, num_single_layers=0),
    "flux union": lambda: flux_net(6, num_mode=4),
}


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory, gallery: Gallery) -> tuple[dict[str, Any], Shelf]:
    """The nets, and a context with their folders and the models."""
    root, found = tmp_path_factory.mktemp("nets"), {}
    for name, made in NETS.items():
        found[name] = made()
        found[name].save_pretrained(root / name, safe_serialization=True)
    return found, Shelf(gallery.root, root)


def picture(seed: int = 9, size: int = SIDE) -> Tensor:
    return torch.rand(1, size, size, 3, generator=torch.Generator().manual_seed(seed))


def steered_pipeline(pipeline: Any, net: Any) -> Any:
    """The same components in the pipeline with ControlNets."""
    import diffusers

    sd3 = hasattr(pipeline, "text_encoder_3")
    cls = diffusers.StableDiffusion3ControlNetPipeline if sd3 else diffusers.FluxControlNetPipeline
    return cls(**pipeline.components, controlnet=net)


def ours(
    ctx: Shelf, model: LoadedModel, steps: Any, controls: list[dict[str, Any]], scale: float, shared: bool
) -> Tensor:
    """The loop as a workflow has it; `shared` takes the prompt's residuals for the negative prompt too."""
    texts = texts_of(ctx, model, PROMPT, *([NEGATIVE] if scale > 1 else []))
    n = len(texts)
    x = Latent(unit_noise(model), model.denoiser.spec, (SEED,))
    for step in steps:
        all: list[Residuals | None] = [None] * n
        for options in controls:
            full = {"strength": 1.0, "start": 0.0, "end": 1.0, **options}
            full["encoded"] = vae_encode(model.vae, options["image"], ctx)
            all = [*control_residuals_together(latent=[x] * n, timestep=[step] * n, conditioning=texts,
                                               before=all, ctx=ctx, **full)]  # fmt: skip
        all = [all[0]] * n if shared else all
        found = predict_together(model.denoiser, [x] * n, [step] * n, list(texts), ctx, all)
        x = solver_step(x, cfg(*found, scale) if n > 1 else found[0], step)
    return x.samples


CASES: list[tuple[str, str, float, dict[str, Any], dict[str, Any]]] = [
    ("sd3", "sd3 plain", 5.0, {"guidance_scale": 5.0}, {}),
    ("sd3", "sd3 pooled", 5.0, {"guidance_scale": 5.0}, {}),
    ("sd3 without T5", "sd3 plain", 5.0, {"guidance_scale": 5.0}, {"start": 0.25, "end": 0.75}),
    ("flux dev", "flux plain", 1.0, {"guidance_scale": 3.5}, {}),
    ("flux dev", "flux guided", 3.0, {"guidance_scale": 3.5, "true_cfg_scale": 3.0}, {}),
    ("flux dev", "flux doubles", 1.0, {"guidance_scale": 3.5}, {"start": 0.5}),
    ("flux schnell", "flux union", 1.0, {"control_mode": 2, "max_sequence_length": 256}, {"mode": 2}),
]


@pytest.mark.parity
@pytest.mark.parametrize(
    ("name", "net", "scale", "options", "told"), CASES, ids=[f"{c[0]}-{c[1]}" for c in CASES]
)
def test_a_steered_loop_is_that_of_the_pipeline(
    gallery: Gallery,
    nets: Any,
    name: str,
    net: str,
    scale: float,
    options: dict[str, Any],
    told: dict[str, Any],
) -> None:
    modules, ctx = nets
    model, plain = gallery.model(name), gallery.pipeline(name)
    pipeline = steered_pipeline(plain, modules[net])
    window = {f"control_guidance_{edge}": told[edge] for edge in ("start", "end") if edge in told}
    if scale > 1:
        options = {**options, "negative_prompt": NEGATIVE}
    # These pipelines scale pictures to -1 to 1, but take tensors as they are.
    image = picture().permute(0, 3, 1, 2) * 2 - 1
    wanted, _ = theirs(pipeline, control_image=image, controlnet_conditioning_scale=0.8, **window, **options)
    control = {"control_net": load_control_net(net, ctx), "image": picture(), "strength": 0.8, **told}
    steps = steps_of(pipeline.scheduler, True)
    shared = name.startswith("flux")  # as in diffusers' pipeline
    found = ours(ctx, model, steps, [control], scale, shared)
    what = net.partition(" ")[2]
    row = f"{name}: a ControlNet in the loop ({what}){', in a window' if window else ''}"
    parity_row(row, found, wanted)
    at = steps[:1]
    if "start" not in told:
        once = [ours(ctx, model, at, controls, scale, shared) for controls in ([control], [])]
        assert (once[0] - once[1]).abs().max() > 0.01 * once[1].abs().max()


@pytest.mark.parity
def test_two_control_nets_add_up_each_in_its_window(gallery: Gallery, nets: Any) -> None:
    modules, ctx = nets
    names, edges = ("sd3 plain", "sd3 other"), ((0.0, 0.5), (0.25, 1.0))
    model, plain = gallery.model("sd3"), gallery.pipeline("sd3")
    pipeline = steered_pipeline(plain, [modules[name] for name in names])
    images = [picture(9), picture(8)]
    wanted, _ = theirs(
        pipeline,
        control_image=[image.permute(0, 3, 1, 2) * 2 - 1 for image in images],
        controlnet_conditioning_scale=[0.8, 0.5],
        control_guidance_start=[start for start, _ in edges],
        control_guidance_end=[end for _, end in edges],
        negative_prompt=NEGATIVE,
        guidance_scale=5.0,
    )
    controls = [
        {
            "control_net": load_control_net(name, ctx),
            "image": image,
            "strength": strength,
            "start": a,
            "end": b,
        }
        for name, image, strength, (a, b) in zip(names, images, (0.8, 0.5), edges, strict=True)
    ]
    found = ours(ctx, model, steps_of(pipeline.scheduler, True), controls, 5.0, False)
    parity_row("sd3: two ControlNets, each in its window", found, wanted)


@pytest.mark.parity
def test_a_net_that_reads_pixels_adds_its_blocks_in_turn(gallery: Gallery, tmp_path: Path) -> None:
    import diffusers

    model, plain = gallery.model("flux dev"), gallery.pipeline("flux dev")
    net = flux_net(8, conditioning_embedding_channels=16, patch_size=2, num_layers=2)
    net.save_pretrained(tmp_path / "pixels net", safe_serialization=True)
    torch.manual_seed(0)
    transformer = diffusers.FluxTransformer2DModel(**dict(plain.transformer.config) | {"num_layers": 4})
    folder = Shelf(tmp_path)
    control_net = load_control_net("pixels net", folder)
    assert (control_net.colours, control_net.factor) == (3, 8)
    x = Latent(unit_noise(model)[..., :8, :8], model.denoiser.spec, (SEED,))
    step = Timestep(0, 0.7, 0.5, 700.0, 0.0, True)
    (text,) = texts_of(gallery, model, PROMPT)
    image = picture()
    found = control_residuals(control_net, x, step, text, image, 0.8, ctx=folder)
    assert found.in_turn
    assert text.cross is not None
    told = {
        "hidden_states": packed(x.samples),
        "encoder_hidden_states": text.cross,
        "pooled_projections": text.pooled,
        "timestep": torch.tensor([0.7]),
        "img_ids": places(4, 4),
        "txt_ids": torch.zeros(text.cross.shape[1], 3),
        "return_dict": False,
    }
    with torch.inference_mode():
        double, single = net(
            controlnet_cond=image.permute(0, 3, 1, 2) * 2 - 1, conditioning_scale=0.8, **told
        )
        steered = {"controlnet_block_samples": double, "controlnet_single_block_samples": single}
        wanted = transformer.eval()(
            **told, **steered, guidance=torch.tensor([3.5]), controlnet_blocks_repeat=True
        )[0]
        answer = flux1.run(
            transformer,
            x.samples,
            torch.tensor([700.0]),
            replace(text, extra={"guidance": torch.tensor([3.5])}),
            found,
        )
    parity_row("flux dev: a ControlNet that reads pixels, one step", answer, unpacked(wanted, 8, 8))


SINGLE = {
    "sd3": lambda: sd3_net(
        attention_head_dim=64, num_attention_heads=1, caption_projection_dim=64, num_layers=3,
        qk_norm="rms_norm", dual_attention_layers=(0, 2), pos_embed_max_size=16,
    ),
    "flux union": lambda: flux_net(
        attention_head_dim=128, num_attention_heads=1, axes_dims_rope=[16, 56, 56], num_layers=2, num_mode=5,
        guidance_embeds=True,
    ),
    "flux pixels": lambda: flux_net(
        attention_head_dim=128, num_attention_heads=1, axes_dims_rope=[16, 56, 56], num_single_layers=0,
        conditioning_embedding_channels=16, patch_size=2,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SINGLE)
def test_a_single_file_is_its_folder(tmp_path: Path, name: str) -> None:
    net = SINGLE[name]()
    net.save_pretrained(tmp_path / "folder", safe_serialization=True)
    save_file(net.state_dict(), tmp_path / "single.safetensors")
    ctx = Shelf(tmp_path)
    assert control_net_names(ctx.folders) == ["folder", "single"]
    folder, single = (load_control_net(each, ctx) for each in ("folder", "single"))
    assert replace(single, model="folder", part=folder.part) == folder
    found, wanted = ctx.use(single), net.state_dict()
    assert found.state_dict().keys() == wanted.keys()
    assert all(torch.equal(found.state_dict()[key], tensor) for key, tensor in wanted.items())
    kept = ("sample_size",)  # which stands in no file, and matters to no weight
    config = {key: value for key, value in net.config.items() if key[0] != "_" and key not in kept}
    for key, value in config.items():
        assert found.config[key] == value or list(found.config[key]) == list(value), key


def test_a_file_without_the_names_of_diffusers_is_told(tmp_path: Path) -> None:
    tensors = {key: t for key, t in sd3_net().state_dict().items() if not key.startswith("context_embedder")}
    save_file(tensors, tmp_path / "half.safetensors")
    with pytest.raises(ModelError, match=r"lacks context_embedder.weight; get it with the names that diff"):
        load_control_net("half", Shelf(tmp_path))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"extra_conditioning_channels": 1}, "reads a mask beside the picture, which is not read"),
        ({"use_pos_embed": False}, "shares layers with its transformer, which is not read"),
    ],
    ids=["mask", "shared"],
)
def test_nets_that_need_more_are_told(tmp_path: Path, settings: dict[str, Any], told: str) -> None:
    sd3_net(**settings).save_pretrained(tmp_path / "more", safe_serialization=True)
    with pytest.raises(ModelError, match=told):
        load_control_net("more", Shelf(tmp_path))


def one(gallery: Gallery, name: str, height: int = 32) -> tuple[Any, ...]:
    """The inputs of one call, and the encoded picture."""
    model = gallery.model(name)
    x = Latent(unit_noise(model)[..., :height, :], model.denoiser.spec, (SEED,))
    step = Timestep(1, 0.7, 0.5, 700.0, 0.4, True)
    (text,) = texts_of(gallery, model, PROMPT)
    return x, step, text, vae_encode(model.vae, picture(), gallery)


@pytest.mark.parametrize(("name", "net"), [("sd3", "sd3 plain"), ("flux dev", "flux plain")])
def test_outside_of_its_window_it_adds_nothing_and_is_not_called(
    gallery: Gallery, nets: Any, name: str, net: str
) -> None:
    _, ctx = nets
    x, step, text, encoded = one(gallery, name)
    control_net, calls = load_control_net(net, ctx), list[None]()
    hook = ctx.use(control_net).register_forward_pre_hook(lambda *_: calls.append(None))
    try:
        late = control_residuals(control_net, x, step, text, picture(), start=0.5, ctx=ctx, encoded=encoded)
        assert not calls
        acts = control_residuals(control_net, x, step, text, picture(), end=0.5, ctx=ctx, encoded=encoded)
        assert len(calls) == 1
    finally:
        hook.remove()
    assert not late.parts
    assert all(bool(part.any()) for part in acts.parts)
    both = control_residuals(
        control_net, x, step, text, picture(), start=0.5, before=acts, ctx=ctx, encoded=encoded
    )
    assert both is acts


@pytest.mark.parametrize(("name", "net"), [("sd3", "sd3 plain"), ("flux dev", "flux guided")])
def test_calls_that_do_not_depend_on_each_other_are_one(
    gallery: Gallery, nets: Any, name: str, net: str
) -> None:
    _, ctx = nets
    x, step, text, encoded = one(gallery, name)
    later = replace(step, sigma=0.3, time=300.0)
    other = replace(text, cross=text.cross.flip(1))
    control_net, sizes = load_control_net(net, ctx), list[int]()
    hook = ctx.use(control_net).register_forward_pre_hook(
        lambda _, args, named: sizes.append(len(named["hidden_states"])), with_kwargs=True
    )
    try:
        found = control_residuals_together(
            control_net,
            [x, x],
            [step, later],
            [text, other],
            picture(),
            0.7,
            0.0,
            1.0,
            [None, None],
            ctx,
            encoded,
        )
    finally:
        hook.remove()
    assert sizes == [2]
    for together, at, words in zip(found, (step, later), (text, other), strict=True):
        alone = control_residuals(control_net, x, at, words, picture(), 0.7, ctx=ctx, encoded=encoded)
        for p, q in zip(together.parts, alone.parts, strict=True):
            torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-5)
            assert not p.is_inference()


def test_what_does_not_go_together_is_told(gallery: Gallery, nets: Any) -> None:
    _, ctx = nets
    x, step, text, encoded = one(gallery, "sd3")
    net = load_control_net("sd3 plain", ctx)

    def ask(control_net: Any = net, latent: Any = x, words: Any = text, **options: Any) -> Residuals:
        told = {"encoded": encoded, **options}
        return control_residuals(control_net, latent, step, words, picture(), ctx=ctx, **told)

    with pytest.raises(ValueError, match="sd3 plain reads the picture as latents; encode it with vae_encode"):
        ask(encoded=None)
    small = replace(encoded, samples=encoded.samples[..., :16])
    with pytest.raises(
        ValueError, match=r"the encoded picture is 32 x 64 pixels and the latent 64 x 64; give"
    ):
        ask(encoded=small)
    four = replace(encoded, samples=encoded.samples[:, :4])
    with pytest.raises(
        ValueError, match="encoded picture has 4 channels and the latent 16; encode it with the"
    ):
        ask(encoded=four)
    odd = replace(x, samples=x.samples[..., :31, :])
    with pytest.raises(
        ValueError, match=r"sd3 plain works on 2 x 2 patches, but the latent is 32 x 31; choose"
    ):
        ask(latent=odd)
    with pytest.raises(
        ValueError, match="the text as one vector is 0 wide, but the ControlNet sd3 plain reads 80"
    ):
        ask(words=replace(text, pooled=None))
    y, _, line, seen = one(gallery, "flux schnell")
    with pytest.raises(
        ValueError, match="mode: 4 is no kind of picture that the ControlNet flux union knows;"
    ):
        ask(load_control_net("flux union", ctx), y, line, encoded=seen, mode=4)
    first = ask()
    flux = ask(load_control_net("flux plain", ctx), y, line, encoded=seen)
    with pytest.raises(ValueError, match="`before` are for another kind of model or another size"):
        ask(before=flux)
    assert first.form() != flux.form()


@pytest.fixture
def session(gallery: Gallery, nets: Any, tmp_path: Path) -> Session:
    """A session whose models and nets are the tiny ones."""
    _, ctx = nets
    return Session(
        Settings(
            cache=tmp_path / "cache", outputs=tmp_path / "outputs", models=ctx.folders.models, device="cpu"
        )
    )


@pytest.mark.parametrize(("name", "net"), [("sd3", "sd3 plain"), ("flux dev", "flux plain")])
def test_the_saved_workflow_runs_by_another_models_name(
    gallery: Gallery, session: Session, name: str, net: str
) -> None:
    gallery.pipeline(name)
    told = {"model": name, "control_net": net, "prompt": PROMPT, "steps": 2, "count": 1, "seed": 5}
    told |= {"width": SIDE, "height": SIDE}
    found = []
    for strength in (0.0, 1.0):
        outcome = session.run(session.load("control"), {**told, "strength": strength})
        outcome.raise_for_failure()
        found.append(outcome.outputs["images"])
        assert found[-1].shape == (1, SIDE, SIDE, 3)
    assert (found[0] - found[1]).abs().max() > 0.01
