"""`make simulate`: a cluster in made-up time, with the real queue, dispatcher and placement.

    python tests/simulate [WORKERS] [JOBS]

The workers are made up: a job takes as long as is drawn for it, a model as long to load as its size asks for.
The queue is the real one, on a disk in memory, and what it costs is measured by the real clock.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from statistics import median, quantiles

sys.path.insert(0, str(Path(__file__).parents[1]))

from simulate.play import MODELS, SECONDS, Found, simulate


def lines(what: str, found: Found, workers: int) -> None:
    """Print how it went."""
    jobs, per_job = found.jobs, {n: s / found.jobs * 1e3 for n, s in found.costs.seconds.items()}
    cost, first = sum(per_job.values()), max(per_job, key=per_job.__getitem__)
    dear = sorted(((ms, name) for name, ms in per_job.items() if ms > 0.005), reverse=True)
    late = quantiles(found.waits, n=100)[98]
    print(f"{what}: {workers:,} workers, {jobs:,} jobs, {len(MODELS)} models")
    for name, text in (
        ("ended as", ", ".join(f"{number:,} {state}" for state, number in found.states.items())),
        ("throughput", f"{jobs / found.seconds:.1f} jobs a second, workers busy {found.busy:.0%}"),
        ("waiting time, p50 [p99]", f"{median(found.waits):.1f} s [{late:.1f} s]"),
        ("model loads", f"{found.loads:,}, {found.loads / jobs:.2f} a job"),
        ("cost of the queue", f"{cost:.2f} ms a job: " + ", ".join(f"{name} {ms:.2f}" for ms, name in dear)),
        ("with the made-up workers", f"{found.took / jobs * 1e3:.2f} ms a job, {found.took:.0f} s in all"),
        ("what breaks first", f"the one writer of the queue, and of that `{first}`: {1e3 / cost:,.0f} jobs a "
         f"second, or {SECONDS * 1e3 / cost:,.0f} workers with jobs of {SECONDS:.0f} s"),
    ):  # fmt: skip
        print(f"  {name:26s}{text}", flush=True)


def main() -> None:
    """Print both ways."""
    logging.disable()
    given = [int(word) for word in sys.argv[1:]]
    workers, jobs = (*given[:1], 1000)[0], (*given[1:], 100_000)[0]
    lines("all waiting at the start", simulate(workers, jobs), workers)
    lines("coming at 80 % load", simulate(workers, jobs // 10, 0.8), workers)


if __name__ == "__main__":
    main()
