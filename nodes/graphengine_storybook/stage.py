"""A stage of training: the loop that the text encoder, denoiser, decoder and judge share.

AdamW; the rate rises for 60 steps, stays for a quarter of the time and falls along a cosine. What
is kept is an exponential average of the weights. Time is the only budget. Progress is saved every
minute, and a stage that was interrupted goes on from there.
"""

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

Losses = dict[str, Tensor]
"""What a step measured; the entry `loss` is what is made smaller, the others are for the log."""

Step = Callable[[float], Losses]
"""What one step does, told which share of its stage is over, 0 to 1."""

_WARM_UP = 60
_LOG_EVERY = 100


def norms_in_float32(model: nn.Module) -> None:
    """Let group norms work in float32 under autocast: in bfloat16 a CPU is slow at them."""
    for module in model.modules():
        if isinstance(module, nn.GroupNorm):
            module.register_forward_pre_hook(_in_float32)


def _in_float32(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (inputs[0].float(), *inputs[1:])


def quick_in_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 saves time: on a GPU, and on a CPU that has instructions for it.

    A CPU without them imitates it: a step of the denoiser then takes three times as long as in float32.
    """
    if device.type != "cpu":
        return True
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def mixed(device: torch.device) -> torch.autocast:
    """The precision of training there: bfloat16 beside float32 where that is quick, else float32 alone."""
    return torch.autocast(device.type, torch.bfloat16, enabled=quick_in_bfloat16(device))


def settle(device: torch.device, *models: nn.Module) -> None:
    """Put models on a device, their convolutions in the layout that is quick there."""
    for model in models:
        model.to(device)
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


@dataclass(frozen=True)
class Stage:
    """How one stage trains. `rate` is the highest learning rate, `decay` that of the average."""

    name: str
    minutes: float
    progress: Path
    device: torch.device
    batch: int
    rate: float
    decay: float = 0.999
    save_every: float = 60.0

    def run(
        self,
        model: nn.Module,
        step: Step,
        keep: Callable[[], None] | None = None,
    ) -> int:
        """Train `model` by `step` until the minutes are over; it then holds the averaged weights.

        `keep` is called, with the averaged weights in place, whenever progress is saved. Returns the
        number of samples that the stage has seen, those before an interruption included.
        """
        loop = _Loop(self, model, step)
        loop.resume()
        if loop.seconds < 60 * self.minutes:
            loop.train(keep)
        model.load_state_dict(loop.average)
        model.eval()
        return loop.steps * self.batch


class _Loop:
    def __init__(self, stage: Stage, model: nn.Module, step: Step) -> None:
        self.stage, self.model, self.step = stage, model, step
        self.file = stage.progress / f"{stage.name}.pt"
        self.trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.trained, lr=stage.rate, betas=(0.9, 0.99), weight_decay=0.01, fused=True
        )
        self.average = {name: value.clone() for name, value in model.state_dict().items()}
        self.steps = 0
        self.seconds = 0.0

    def resume(self) -> None:
        if not self.file.exists():
            return
        saved: dict[str, Any] = torch.load(self.file, map_location=self.stage.device)
        self.model.load_state_dict(saved["model"])
        self.average = saved["average"]
        self.optimizer.load_state_dict(saved["optimizer"])
        self.steps, self.seconds = saved["steps"], saved["seconds"]

    def save(self) -> None:
        self.stage.progress.mkdir(parents=True, exist_ok=True)
        unfinished = self.file.with_suffix(".part")
        state = {
            "model": self.model.state_dict(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "steps": self.steps,
            "seconds": self.seconds,
        }
        torch.save(state, unfinished)
        os.replace(unfinished, self.file)

    def train(self, keep: Callable[[], None] | None) -> None:
        """Steps until the time is over."""
        torch.manual_seed(self.steps)
        self.model.train()
        sums: Losses = {}
        counted = 0
        before = saved = time.monotonic()
        while self.seconds < 60 * self.stage.minutes:
            for name, value in self._one().items():
                sums[name] = sums[name] + value if name in sums else value
            counted += 1
            now = time.monotonic()
            self.seconds, before = self.seconds + now - before, now
            if self.steps % _LOG_EVERY == 0:
                self._log({name: float(value) / counted for name, value in sums.items()})
                sums, counted = {}, 0
            if now - saved > self.stage.save_every:
                self.save()
                self._keep(keep)
                before = saved = time.monotonic()  # looking at it costs the stage no time
        self.save()

    def _one(self) -> Losses:
        for group in self.optimizer.param_groups:
            group["lr"] = self.stage.rate * self._rate()
        measured = self.step(self._share())
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(measured["loss"])
        nn.utils.clip_grad_norm_(self.trained, 1.0)
        self.optimizer.step()
        self.steps += 1
        self._follow()
        return {name: value.detach() for name, value in measured.items()}

    def _share(self) -> float:
        return self.seconds / (60 * self.stage.minutes)

    def _rate(self) -> float:
        share = self._share()
        warm = min(1.0, (self.steps + 1) / _WARM_UP)
        cosine = 0.5 * (1 + math.cos(math.pi * max(0.0, share - 0.25) / 0.75))
        return warm * (0.99 * cosine + 0.01)

    @torch.no_grad()
    def _follow(self) -> None:
        # The average is young at first: it then follows fast (as in TensorFlow's moving averages).
        decay = min(self.stage.decay, (self.steps + 1) / (self.steps + 12))
        now = self.model.state_dict()
        names = [name for name, value in self.average.items() if value.is_floating_point()]
        torch._foreach_lerp_([self.average[n] for n in names], [now[n] for n in names], 1 - decay)
        for name in self.average.keys() - set(names):
            self.average[name].copy_(now[name])

    def _keep(self, keep: Callable[[], None] | None) -> None:
        if keep is None:
            return
        now = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.model.load_state_dict(self.average)
        self.model.eval()
        keep()
        self.model.load_state_dict(now)
        self.model.train()

    def _log(self, means: dict[str, float]) -> None:
        figures = " ".join(f"{name} {value:.4f}" for name, value in means.items())
        speed = self.steps * self.stage.batch / max(self.seconds, 1e-9)
        print(
            f"{self.stage.name}: {self.seconds / 60:.1f} of {self.stage.minutes:.1f} minutes,"
            f" {self.steps * self.stage.batch} samples, {speed:.0f} a second, {figures}",
            flush=True,
        )
