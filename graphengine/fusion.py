"""Fusion: independent calls of one batched node stand together in the order, to run as one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from heapq import heapify, heappop, heappush
from typing import Any

from graphengine.plan import Section, Step, strictly


def group(section: Section, widest: Mapping[str, int]) -> None:
    """Rank the steps so that independent calls of one batched type stand together.

    List scheduling: everything else goes first; when only batched calls are ready, all ready calls of the
    first one's kind leave as one batch. So no two batches can wait for each other.
    """
    surely = set(strictly(section))
    waits: dict[int, int] = {}
    users = defaultdict[int, list[Step]](list)
    for step in section.steps:
        asked = (slot for _, body in step.bodies for slot in body.captures)
        slots = (*step.strict, *(slot for _, slot in step.lazies), *asked)
        needs = {m.rank for s in slots if (m := section.maker[s])}
        waits[step.rank] = len(needs)
        for need in needs:
            users[need].append(step)

    def kind(step: Step) -> Any:
        fused = step.type.fuses and step.out in surely and (step.type.exact or section.graph.parent)
        if not fused:
            return None
        same = (a for p, a in zip(step.type.inputs, step.args, strict=True) if p in step.type.shared)
        return (step.type.id, *(section.keys[a] or a for a in same))

    steps, rank, batch = section.steps, 0, 0
    ready = [s.rank for s in steps if not waits[s.rank]]
    held: dict[Any, list[Step]] = {}
    heapify(ready)
    ranked: list[tuple[Step, int, int, int]] = []
    while ready or held:
        if ready:
            step = steps[heappop(ready)]
            if (k := kind(step)) is not None:
                held.setdefault(k, []).append(step)
                continue
            leave, number = [step], -1
        else:
            k = min(held, key=lambda k: held[k][0].rank)
            leave = held.pop(k)
            if len(leave) > (most := widest.get(leave[0].type.id, len(leave))):
                leave, held[k] = leave[:most], leave[most:]
            number = batch if len(leave) > 1 else -1
            batch += 1
        for step in leave:
            size = len(leave) if number >= 0 and not step.type.exact else 0
            ranked.append((step, rank, number, size))
            rank += 1
            for user in users[step.rank]:
                waits[user.rank] -= 1
                if not waits[user.rank]:
                    heappush(ready, user.rank)
    for step, rank, batch, size in ranked:
        step.rank, step.batch, step.size = rank, batch, size
