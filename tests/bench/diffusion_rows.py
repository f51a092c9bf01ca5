"""A picture of the embedded model, after imports: the graph against diffusers' own pipeline, in turns.

Both save it as a PNG.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from statistics import median
from time import perf_counter

os.environ["HF_HUB_OFFLINE"] = "1"
ROUNDS = 9
PAIRS = 16
"""Of one picture by each."""
PROMPT = "a yellow boat on the sea at sunset"


def rows() -> Iterator[tuple[str, str, str]]:
    """20 steps with guidance, 128 x 128."""
    warnings.simplefilter("ignore")
    import torch
    from diffusers import EulerDiscreteScheduler, StableDiffusionPipeline
    from diffusers.utils import logging

    from graphengine.config import Settings
    from graphengine.session import Session

    logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as folder:
        session = Session(Settings(cache=Path(folder, "cache"), outputs=Path(folder, "out"), device="cpu"))
        workflow = session.load("text_to_image")
        model = session.folders.model("storybook")
        pipe = StableDiffusionPipeline.from_pretrained(model, safety_checker=None, local_files_only=True)
        pipe.scheduler = EulerDiscreteScheduler.from_config(
            pipe.scheduler.config, use_karras_sigmas=True, timestep_spacing="linspace"
        )
        pipe.set_progress_bar_config(disable=True)
        pipe.to(torch.float32)

        def graph(seed: int) -> float:
            began = perf_counter()
            outcome = session.run(workflow, {"prompt": PROMPT, "seed": seed, "steps": 20})
            assert outcome.state == "done"
            return perf_counter() - began

        def pipeline(seed: int) -> float:
            began = perf_counter()
            made = pipe(
                PROMPT,
                num_inference_steps=20,
                guidance_scale=5.0,
                generator=torch.Generator().manual_seed(seed),
            )
            made.images[0].save(Path(folder, f"{seed}.png"))
            return perf_counter() - began

        def pair(seed: int) -> tuple[float, float]:
            """One each. Who is first in one pair is second in the next, so neither gains by its place."""
            if seed % 2:
                return graph(seed), pipeline(seed)
            theirs = pipeline(seed)
            return graph(seed), theirs

        graph(0), pipeline(0)
        pairs = [pair(seed) for seed in range(1, PAIRS + 1)]
        again = min(graph(1) for _ in range(3))
        session.pool.widest["diffusion.predict"] = 1
        seeds = count(PAIRS + 1)
        single = median(graph(next(seeds)) for _ in range(ROUNDS))
        session.pool.widest.clear()
        together = median(graph(next(seeds)) for _ in range(ROUNDS))
    ours, theirs = (median(p[i] for p in pairs) for i in (0, 1))
    ratio = median(a / b for a, b in pairs)
    yield (
        f"a picture, 20 steps with CFG, {torch.get_num_threads()} threads, median of {PAIRS}",
        f"{ours:.2f} s",
        f"limit 5 s; StableDiffusionPipeline {theirs:.2f} s, ratio {ratio:.2f} (limit 1.00)",
    )
    yield (
        "the same with one prediction a call, not two",
        f"{single:.2f} s",
        f"as one call {together:.2f} s, ratio {single / together:.2f}",
    )
    yield "the same again: all but the save is found", f"{again * 1000:.0f} ms", f"of {ours * 1000:.0f} ms"
