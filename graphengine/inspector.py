"""Inspector: finds nodes that break the laws: runs each twice, and compares what goes in and comes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from graphengine.cache import MISSING, Cache
from graphengine.codec import Codec, NotStorable
from graphengine.errors import NodeImpure
from graphengine.keys import Key, canonical, digest
from graphengine.plan import Step

Digests = Mapping[str, bytes | None]
"""By input; None for what cannot be compared, such as a body."""


class Inspector:
    """Watches every call of a run. `known` is what earlier runs have given: new results must be the same."""

    def __init__(self, codec: Codec, known: Cache | None = None) -> None:
        self.codec, self.known = codec, known

    def call(self, step: Step, function: Callable[..., Any], arguments: Sequence[Any]) -> Any:
        """What the function gives. NodeImpure if it changes an input, or gives something else next time."""
        before = self.digests(step, arguments)
        value = function(*arguments)
        self.unchanged(step, arguments, before)
        if step.type.cached and (first := self.digest(value)) is not None:
            self.equal(step, first, function(*arguments))
            self.unchanged(step, arguments, before)
        return value

    async def awaited(self, step: Step, function: Callable[..., Any], arguments: Sequence[Any]) -> Any:
        """The same for a function that awaits."""
        before = self.digests(step, arguments)
        value = await function(*arguments)
        self.unchanged(step, arguments, before)
        if step.type.cached and (first := self.digest(value)) is not None:
            self.equal(step, first, await function(*arguments))
            self.unchanged(step, arguments, before)
        return value

    def equal(self, step: Step, first: bytes, value: Any) -> None:
        """NodeImpure if a second call gave something else."""
        if self.digest(value) != first:
            raise NodeImpure(
                f"{step.type.id} gives two results for the same inputs; draw what is random from a seed "
                'that is an input, or mark the node cache="none"'
            )

    def unchanged(self, step: Step, arguments: Sequence[Any], before: Digests) -> None:
        """NodeImpure names the input that is not what it was."""
        after = self.digests(step, arguments)
        for name, found in before.items():
            if found != after[name]:
                raise NodeImpure(
                    f"{step.type.id} changes its input {name!r}, which others share; let it work on a copy, "
                    f"such as `{name}.clone()`"
                )

    def compare(self, step: Step, key: Key, value: Any) -> None:
        """NodeImpure if an earlier run kept something else under the key."""
        if self.known is None or (old := self.known.get(key, step.type.cache == "disk")) is MISSING:
            return
        if self.digest(value) != self.digest(old):
            raise NodeImpure(
                f"{step.type.id} gave another result in an earlier run, for the same inputs; it depends on "
                "something that is no input: give it a `fingerprint`, or a new `version` if its code changed"
            )

    def digests(self, step: Step, arguments: Sequence[Any]) -> Digests:
        """What stands for each argument."""
        return {n: self.digest(v) for n, v in zip(step.type.inputs, arguments, strict=True)}

    def digest(self, value: Any) -> bytes | None:
        """What stands for a value; None for one that cannot be stored."""
        try:
            return digest(self.codec.encode(value))
        except NotStorable:
            data = canonical(value)
            return None if data is None else digest(data)
