"""Running files under the laws: caches that remember everything, and machines of different speed."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from laws import reference
from laws.nodes import TYPES, heard
from laws.scopes import Refused
from samples import Blob, ran

from graphengine import body, cache
from graphengine.cache import Cache, DiskCache
from graphengine.check import check
from graphengine.codec import Codec
from graphengine.executor import Executor
from graphengine.planner import plan
from graphengine.workflow import Workflow


def plain(value: Any) -> Any:
    """A value as something that can be compared, to the bit."""
    if isinstance(value, torch.Tensor):
        return "Canvas", value.dtype, value.tolist()
    if isinstance(value, Blob):
        return "Blob", value.n
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [plain(item) for item in value]
    return type(value).__name__, value


class Recording(Cache):
    """Remembers every value that was ever put under a key, and how often; `values` may belong to several."""

    def __init__(
        self, limit: int = 1 << 30, disk: DiskCache | None = None, values: dict[bytes, Any] | None = None
    ) -> None:
        super().__init__(limit, disk)
        self.puts: Counter[bytes] = Counter()
        self.values = {} if values is None else values

    def put(self, key: bytes, value: Any, seconds: float, deep: bool = True) -> None:
        self.puts[key] += 1
        assert self.values.setdefault(key, plain(value)) == plain(value), "one key, two values"
        super().put(key, value, seconds, deep)


class Ran(NamedTuple):
    """What a run gave, what its effects were given, and what it told."""

    outputs: dict[str, Any]
    heard: list[int]
    events: list[Any]
    failures: dict[str, BaseException]


def run(
    file: Any,
    cache: Cache | None = None,
    types: Any = TYPES,
    emit: Any = None,
    targets: Sequence[str] = (),
    **options: Any,
) -> Ran:
    """From data, or a workflow, to result; with nothing kept if there is no cache.

    `emit` is called with the executor and each event.
    """
    workflow = file if isinstance(file, Workflow) else Workflow.parse(json.dumps(file))
    problems = check(workflow, types)
    assert not problems, problems
    cache = Cache(0) if cache is None else cache
    ran.clear()
    heard.clear()
    told: list[Any] = []
    executor = Executor(cache, **options)

    def hear(event: Any) -> None:
        told.append(event)
        if emit is not None:
            emit(executor, event)

    outputs = executor.run(plan(workflow, types, cache, targets), hear)
    return Ran({n: plain(v) for n, v in outputs.items()}, sorted(heard), told, executor.failures)


def meaning(file: Any, types: Any = TYPES) -> Ran | None:
    """What the reference says; None where it says that the file means nothing."""
    heard.clear()
    try:
        outputs = reference.outputs(file, types)
    except Refused:
        return None
    return Ran({n: plain(v) for n, v in outputs.items()}, sorted(heard), [], {})


class Tiers(NamedTuple):
    """What a cache has: bytes of memory and of disk, and how often a loop keeps its state there.

    `glance` are the seconds that a quick body call takes; so 0 makes all of them slow, and infinity none.
    """

    memory: int = 1 << 30
    disk: int = 0
    every: int = 0
    glance: float = 0.0

    @contextmanager
    def store(self, folder: Path | None = None) -> Iterator[Store]:
        """A folder for such a cache, on a machine where everything takes long enough to be kept."""
        with tempfile.TemporaryDirectory() as fresh, pytest.MonkeyPatch.context() as patch:
            patch.setattr(body, "GLANCE", self.glance)
            patch.setattr(cache, "READING", 0.0)
            yield Store(self, folder or Path(fresh))


@dataclass
class Store:
    """A cache over a folder that outlives it, as after a restart of the process."""

    tiers: Tiers
    folder: Path
    values: dict[bytes, Any] = field(default_factory=dict)
    cache: Recording | None = None

    def restart(self) -> Recording:
        """A new cache over the same folder."""
        disk = DiskCache(self.folder, self.tiers.disk, Codec()) if self.tiers.disk else None
        self.cache = Recording(self.tiers.memory, disk, self.values)
        return self.cache

    def run(self, file: Any, types: Any = TYPES, emit: Any = None) -> Ran:
        """Run a file with the cache."""
        return run(file, self.cache or self.restart(), types, emit, every=self.tiers.every)


TIERS = st.builds(
    Tiers,
    memory=st.sampled_from([1 << 30, 3000, 0]),
    disk=st.sampled_from([1 << 20, 0, 3000]),
    every=st.sampled_from([0, 1, 2, 5]),
    glance=st.sampled_from([0.0, body.GLANCE, inf]),
)


def many(times: float = 1) -> settings:
    """So many times as many examples as the profile says."""
    return settings(max_examples=round(times * settings.default.max_examples))
