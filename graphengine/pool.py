"""ModelPool: which weights sit on a device, and which go when there is no room. Device: where things run."""

from __future__ import annotations

import gc
import sys
import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from threading import RLock
from time import perf_counter
from typing import Any, NamedTuple, cast

from graphengine.authoring import Composed, Derived, Folders, Handle
from graphengine.errors import GraphEngineError, OutOfMemory


class Device(NamedTuple):
    """A device by torch's name for it, and how many bytes of weights may stay there."""

    name: str
    budget: int

    @classmethod
    def of(cls, name: str) -> Device:
        """A device by name; `auto` takes the first GPU, else the CPU. GraphEngineError if it is not there.

        Weights may take eight tenths of a GPU's memory, and half of the machine's on the CPU.
        """
        import torch

        if name == "auto":
            name = (
                "cuda:0"
                if torch.cuda.is_available()
                else "mps"
                if torch.backends.mps.is_available()
                else "cpu"
            )
        kind, _, number = name.partition(":")
        if kind not in ("cpu", "mps", "cuda") or (number and not number.isdecimal()):
            raise GraphEngineError(f"{name!r} is no device; use auto, cpu, mps, cuda or cuda:1")
        if kind == "cuda":
            count = torch.cuda.device_count()
            if int(number or 0) >= count:
                raise GraphEngineError(
                    f"there is no device {name!r}; torch sees {count} GPUs; use --device cpu"
                )
            total = torch.cuda.get_device_properties(int(number or 0)).total_memory
            return cls(f"cuda:{number or 0}", total * 8 // 10)
        if kind == "mps" and not torch.backends.mps.is_available():
            raise GraphEngineError("there is no device 'mps' on this machine; use --device cpu")
        return cls(kind, machine_memory() // 2)


def machine_memory() -> int:
    """Bytes of memory that this machine has; 8 GiB where it does not say."""
    import os

    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 8 << 30


@dataclass(eq=False, slots=True)
class Resident:
    """A loaded model: its tensors (address and bytes), the seconds that loading took, how often it is used.

    Heat says how often: a use counts once between two loads of the pool, and each load halves what was
    before, so heat is 1 for a model that was just loaded, tends to 2 for one in steady use, and to 0 for one
    that nobody asks for.
    """

    model: Any
    tensors: dict[int, int]
    seconds: float
    heat: float = 0.0
    used_at: int = -1

    def use(self, loads: int) -> None:
        """Note a use, with the number of loads so far."""
        if self.used_at != loads:
            self.heat, self.used_at = self.heat_at(loads) + 1.0, loads

    def heat_at(self, loads: int) -> float:
        """The heat that is left by now."""
        return self.heat * 0.5 ** (loads - self.used_at) if self.heat else 0.0


class Loan(NamedTuple):
    """A model, and whether anything had to be loaded for it."""

    model: Any
    fresh: bool


class ModelPool:
    """Loads on first use, holds each model once, and lets the least useful go where there is no room.

    * Handles that are `Composed` share their members, and what is `Derived` shares its base.
    * Least useful is what saves the fewest seconds for its bytes: heat * seconds to load / bytes, where a
      tensor that k models share counts as a k-th part for each of them. Among equals, the one that was not
      used for the longest time goes.
    * What is asked for never goes to make room for itself. A model that was let go while a node still holds
      it takes memory until the node is done; it is counted until then, and handed out again on demand.
    * A model larger than the budget is loaded all the same, with everything else let go.
    """

    def __init__(
        self,
        name: str,
        folders: Folders,
        budget: int | None = None,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self.name, self.folders, self.budget, self.clock = name, folders, budget, clock
        self.lock = RLock()
        self.loads = 0
        """How many models were loaded or derived so far."""
        self.residents: dict[Handle[Any], Resident] = {}
        """The loaded models, the one used last at the end."""
        self.leaving: dict[Handle[Any], tuple[weakref.ref[Any], Resident]] = {}
        """Models that were let go, but that a running node may still hold."""
        self.asked: set[Handle[Any]] = set()
        """What must stay for the call that is being answered."""
        self.widest: dict[str, int] = {}
        """How many calls of a node type fit into memory at once, where that was found out the hard way."""

    @cached_property
    def device(self) -> Device:
        """Where models run; looked for when it is first asked for, because that takes torch."""
        found = Device.of(self.name)
        return found if self.budget is None else found._replace(budget=self.budget)

    @property
    def used(self) -> int:
        """Bytes of weights in memory, those of models that a node still holds too; shared ones once."""
        tensors: dict[int, int] = {}
        for resident in self.present():
            tensors |= resident.tensors
        return sum(tensors.values())

    def names(self) -> frozenset[str]:
        """The names of the models that are loaded: what is called `model` in their handles."""
        return frozenset(name for handle in list(self.residents) for name in names_of(handle))

    def use(self, handle: Handle[Any]) -> Any:
        """The loaded model behind a handle. OutOfMemory if it fits not even alone."""
        return self.lend(handle).model

    def lend(self, handle: Handle[Any]) -> Loan:
        """The same, and whether anything had to be loaded for it."""
        with self.lock:
            before = self.loads
            self.asked.clear()
            model = self.find(handle)
            return Loan(model, self.loads != before)

    def find(self, handle: Handle[Any]) -> Any:
        """The model behind a handle, loaded if it is not there."""
        members = getattr(handle, "members", None)
        if members is not None:
            return cast(Composed[Any], handle).compose([self.find(member) for member in members])
        self.asked.add(handle)
        resident = self.residents.pop(handle, None) or self.returned(handle)
        loaded = resident is None
        if resident is None:
            resident = self.load(handle)
            self.loads += 1
        resident.use(self.loads)
        self.residents[handle] = resident  # youngest again
        if loaded:
            self.make_room()
        return resident.model

    def load(self, handle: Handle[Any]) -> Resident:
        """Read the weights, or derive them; where they do not fit, everything else makes room first."""
        try:
            return self.read(handle)
        except Exception as error:
            if not short_of_memory(error):
                raise
        self.clear()
        try:
            return self.read(handle)
        except Exception as error:
            if short_of_memory(error):
                raise OutOfMemory(
                    f"{handle} does not fit into the memory of {self.device.name}; use a smaller model"
                ) from error
            raise

    def read(self, handle: Handle[Any]) -> Resident:
        """The model of a handle that is not loaded, timed. The base of a derived one is found first."""
        base = getattr(handle, "base", None)
        source = None if base is None else self.find(base)
        began = self.clock()
        if base is None:
            model = handle.load(self.folders, self.device.name)
        else:
            self.asked.discard(base)  # it may go once this is done
            model = cast(Derived[Any], handle).derive(source, self.folders, self.device.name)
        return Resident(model, tensors_of(model), self.clock() - began)

    def returned(self, handle: Handle[Any]) -> Resident | None:
        """A model that was let go, but that a node still holds: it need not be loaded again."""
        reference, resident = self.leaving.pop(handle, (None, None))
        if reference is None or resident is None:
            return None
        resident.model = reference()
        return None if resident.model is None else resident

    def make_room(self) -> None:
        """Let models go, the least useful first, until the rest is within the budget."""
        while self.used > self.device.budget:
            others = [handle for handle in self.residents if handle not in self.asked]
            if not others:
                break
            self.evict(min(others, key=self.worth()))

    def worth(self) -> Callable[[Handle[Any]], float]:
        """How many seconds each resident saves for its bytes."""
        sharing = Counter(address for resident in self.present() for address in resident.tensors)

        def worth(handle: Handle[Any]) -> float:
            resident = self.residents[handle]
            share = sum(size / sharing[address] for address, size in resident.tensors.items())
            return resident.heat_at(self.loads) * resident.seconds / max(share, 1.0)

        return worth

    def present(self) -> list[Resident]:
        """Everything that takes memory: the residents, and what is leaving but still held."""
        self.leaving = {h: (r, resident) for h, (r, resident) in self.leaving.items() if r() is not None}
        return [*self.residents.values(), *(resident for _, resident in self.leaving.values())]

    def evict(self, handle: Handle[Any]) -> None:
        """Let one model go."""
        self.release([handle])

    def clear(self) -> None:
        """Let every model go."""
        with self.lock:
            self.release(list(self.residents))

    def release(self, handles: Sequence[Handle[Any]]) -> None:
        """Forget models, and remember those that somebody still holds."""
        for handle in handles:
            resident = self.residents.pop(handle)
            try:
                self.leaving[handle] = weakref.ref(resident.model), resident
            except TypeError:  # what cannot be watched is no module, and has no tensors to count
                pass
            resident.model = None
        if any(reference() is not None for reference, _ in self.leaving.values()):
            gc.collect()  # a module may be part of a cycle
        self.give_back()

    def give_back(self) -> None:
        """Return freed memory to the device."""
        if self.device.name.startswith("cuda"):
            import torch

            torch.cuda.empty_cache()


def names_of(handle: Handle[Any]) -> set[str]:
    """The models that a handle names, itself or in what it is made of."""
    found, stack = set[str](), [handle]
    while stack:
        value: Any = stack.pop()
        if isinstance(value, tuple):
            stack += value
        elif is_dataclass(value):
            parts = {field.name: getattr(value, field.name) for field in fields(value)}
            if isinstance(name := parts.pop("model", None), str):
                found.add(name)
            stack += parts.values()
    return found


def short_of_memory(error: BaseException) -> bool:
    """Whether an error says that there is too little memory, on a GPU or in the machine."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error)


def size_of(model: Any) -> int:
    """Bytes of a module's parameters and buffers; shared ones count once. 0 for what has none."""
    return sum(tensors_of(model).values())


def tensors_of(model: Any) -> dict[int, int]:
    """The bytes of each parameter and buffer of a module, by its address."""
    if not hasattr(model, "parameters"):
        return {}
    return {t.data_ptr(): t.nbytes for t in [*model.parameters(), *model.buffers()]}
