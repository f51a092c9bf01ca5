"""`make simulate`: a cluster in made-up time, with the real queue, dispatcher and placement.

    python tests/simulate [WORKERS] [JOBS] [--picture PATH]

The workers are made up: a job takes as long as is drawn for it, a model as long to load as its size asks for.
The queue is the real one, on a disk in memory, and what it costs is the processor time of this thread.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from statistics import median, quantiles

sys.path.insert(0, str(Path(__file__).parents[1]))

from simulate.picture import draw
from simulate.play import MODELS, SECONDS, Found, simulate

PICTURE = Path("build/simulate.png")


def lines(what: str, found: Found, workers: int) -> None:
    """Print how it went."""
    jobs, per_job = found.jobs, {n: s / found.jobs * 1e3 for n, s in found.costs.seconds.items()}
    made_up = f"{found.took / jobs * 1e3:.2f} ms a job by the clock, {found.took:.0f} s in all"
    cost, first = sum(per_job.values()), max(per_job, key=per_job.__getitem__)
    dear = sorted(((ms, name) for name, ms in per_job.items() if ms > 0.005), reverse=True)
    parts = ", ".join(f"{name} {ms:.2f}" for ms, name in dear)
    late = quantiles(found.waits, n=100)[98]
    print(f"{what}: {workers:,} workers, {jobs:,} jobs, {len(MODELS)} models")
    for name, text in (
        ("ended as", ", ".join(f"{number:,} {state}" for state, number in found.states.items())),
        ("throughput", f"{jobs / found.seconds:.1f} jobs a second, workers busy {found.busy:.0%}"),
        ("waiting time, p50 [p99]", f"{median(found.waits):.1f} s [{late:.1f} s]"),
        ("model loads", f"{len(found.loaded):,}, {len(found.loaded) / jobs:.2f} a job"),
        ("cost of the queue", f"{cost:.2f} ms a job of processor time: " + parts),
        ("with the made-up workers", made_up),
        ("what breaks first", f"the one writer of the queue, and of that `{first}`: {1e3 / cost:,.0f} jobs a "
         f"second, or {SECONDS * 1e3 / cost:,.0f} workers with jobs of {SECONDS:.0f} s"),
    ):  # fmt: skip
        print(f"  {name:26s}{text}", flush=True)


def main() -> None:
    """Print and draw both ways."""
    logging.disable()
    parser = argparse.ArgumentParser(description="A cluster in made-up time, with the real queue.")
    parser.add_argument("workers", type=int, nargs="?", default=1000)
    parser.add_argument("jobs", type=int, nargs="?", default=100_000)
    parser.add_argument("--picture", type=Path, default=PICTURE, metavar="PATH", help="a PNG file")
    given = parser.parse_args()
    plays = []
    for what, jobs, load in (
        ("all waiting at the start", given.jobs, None),
        ("coming at 80 % load", max(given.jobs // 10, 1), 0.8),
    ):
        found = simulate(given.workers, jobs, load)
        lines(what, found, given.workers)
        plays.append((f"{given.workers:,} workers, {jobs:,} jobs, {what}", found))
    draw(plays, given.picture)
    print(f"  picture                   {given.picture}")


if __name__ == "__main__":
    main()
