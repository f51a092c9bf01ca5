"""Frame: one run of a section, and what a running node is handed of it: lazies, values with their keys."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from graphengine.keys import Key, bind, canonical, digest
from graphengine.plan import GATHER, Section, Slots, Step

Activity = Generator[Any, Any, Any]
"""What the executor's trampoline runs: it yields another one to run first, or a request for one.

It is sent the answer in a list, and takes it out: what is passed to `send` lives for as long as that lasts.
"""
LATEST = 8
"""How many results without weak references a node is known to have; a loop passes on the one before."""


class Failed(Exception):
    """Raised in a node that awaits something that failed."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure.node}: {failure.error}")
        self.failure = failure


@dataclass(frozen=True)
class Failure:
    """Stands in the slots of a node that failed, and of everything that depends on it."""

    node: str
    error: BaseException


@dataclass(slots=True, eq=False)
class Frame:
    """The slots of one run of a section, and the keys of the arguments of every body around it."""

    section: Section
    slots: Slots
    env: tuple[Key | None, ...] = ()
    parent: Frame | None = None

    def key(self, slot: int) -> Key | None:
        """What stands for the value in a slot in keys, as in `Section.keys`; None if an argument has none."""
        section = self.section
        if slot in section.origin:
            assert self.parent is not None
            return self.parent.key(section.origin[slot])
        step = section.maker[slot]
        if step is not None:
            known = section.keys[slot]
            key = step.key and known and bind(known[1:], [self.env[d] for d in step.deps])
            return b"k" + key if key else None
        if slot < len(section.graph.inputs):
            return self.env[section.base + slot]
        return section.keys[slot]


@dataclass(slots=True, eq=False)
class LazyInput:
    """What a node gets for a Lazy: awaiting it asks the executor for one slot."""

    frame: Frame
    slot: int

    def __await__(self) -> Activity:
        return (yield self).pop()


@dataclass(slots=True, eq=False)
class Handed:
    """The values that a running node knows with their keys: its inputs, their items, what its bodies gave.

    The key of an argument: plain values by content; anything else by identity. An item of a list has the key
    of the list and its index, or its own where it came through a link of its own. A value that the node made
    itself has none, and the call is not cached.
    """

    frame: Frame
    step: Step
    known: dict[int, tuple[Callable[[], Any], Key]] = field(default_factory=dict)
    held: dict[int, Any] = field(default_factory=dict)
    """Of the results to which there is no weak reference, such as lists, the latest."""
    learnt: bool = False

    def key(self, value: Any) -> Key | None:
        """The key of an argument, or None."""
        data = canonical(value)
        if data is not None:
            return data if len(data) < 64 else b"h" + digest(data)
        found = self.known.get(id(value))
        if found is None and not self.learnt:
            self.learn()
            found = self.known.get(id(value))
        return found[1] if found and found[0]() is value else None

    def enter(self, value: Any, key: Key | None, input: bool = False) -> None:
        """Know a value, without keeping it alive where that can be helped; its first name stays."""
        name = id(value)
        old = self.known.get(name)
        if key is None or (old is not None and old[0]() is value):
            return
        try:
            self.known[name] = weakref.ref(value), key
        except TypeError:
            if input:
                self.known[name] = (lambda: value), key
                return
            self.known[name] = partial(self.held.get, name), key
            self.held[name] = value
            if len(self.held) > LATEST:
                del self.held[next(iter(self.held))]

    def learn(self) -> None:
        """Enter the inputs, then their items; the first name of an object stays: the ports' order decides."""
        self.learnt = True
        frame = self.frame
        items: list[tuple[Any, int]] = []
        for slot in self.step.args:
            value = frame.slots[slot]
            self.enter(value, frame.key(slot), True)
            if isinstance(value, (list, tuple)):
                items.append((value, slot))
        for values, slot in items:
            maker = frame.section.maker[slot]
            key = frame.key(slot)
            for i, item in enumerate(values):
                if maker is not None and maker.type is GATHER:
                    self.enter(item, frame.key(maker.args[i]), True)
                elif key is not None:
                    self.enter(item, b"k" + digest(key + b"[%d]" % i), True)
