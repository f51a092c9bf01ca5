"""ModelPool: which weights sit on a device, and which go when there is no room. Device: where things run."""

from __future__ import annotations

import sys
from functools import cached_property
from threading import RLock
from typing import Any, NamedTuple

from graphengine.authoring import Folders, Handle
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


class Resident(NamedTuple):
    """A loaded model and the bytes of its weights."""

    model: Any
    size: int


class ModelPool:
    """Loads on first use, holds each model once, and evicts what was not used for the longest time."""

    def __init__(self, name: str, folders: Folders, budget: int | None = None) -> None:
        self.name, self.folders, self.budget = name, folders, budget
        self.lock = RLock()
        self.residents: dict[Handle[Any], Resident] = {}
        self.widest: dict[str, int] = {}
        """How many calls of a node type fit into memory at once, where that was found out the hard way."""

    @cached_property
    def device(self) -> Device:
        """Where models run; looked for when it is first asked for, because that takes torch."""
        found = Device.of(self.name)
        return found if self.budget is None else found._replace(budget=self.budget)

    @property
    def used(self) -> int:
        """Bytes of weights that are loaded."""
        return sum(r.size for r in self.residents.values())

    def use(self, handle: Handle[Any]) -> Any:
        """The loaded model behind a handle. OutOfMemory if it fits not even alone."""
        with self.lock:
            resident = self.residents.pop(handle, None)
            if resident is None:
                resident = self.load(handle)
            self.residents[handle] = resident  # youngest again
            while self.used > self.device.budget and len(self.residents) > 1:
                self.evict()
            return resident.model

    def load(self, handle: Handle[Any]) -> Resident:
        """Read the weights; where they do not fit, everything else makes room first."""
        try:
            model = handle.load(self.folders, self.device.name)
        except Exception as error:
            if not short_of_memory(error):
                raise
        else:
            return Resident(model, size_of(model))
        self.clear()
        try:
            model = handle.load(self.folders, self.device.name)
        except Exception as error:
            if short_of_memory(error):
                raise OutOfMemory(
                    f"{handle} does not fit into the memory of {self.device.name}; use a smaller model"
                ) from error
            raise
        return Resident(model, size_of(model))

    def evict(self) -> None:
        """Let the model go that was not used for the longest time."""
        self.residents.pop(next(iter(self.residents)))
        self.give_back()

    def clear(self) -> None:
        """Let every model go."""
        with self.lock:
            self.residents.clear()
            self.give_back()

    def give_back(self) -> None:
        """Return freed memory to the device."""
        if self.device.name.startswith("cuda"):
            import torch

            torch.cuda.empty_cache()


def short_of_memory(error: BaseException) -> bool:
    """Whether an error says that there is too little memory, on a GPU or in the machine."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error)


def size_of(model: Any) -> int:
    """Bytes of a module's parameters and buffers; shared ones count once. 0 for what has none."""
    if not hasattr(model, "parameters"):
        return 0
    tensors = {t.data_ptr(): t for t in [*model.parameters(), *model.buffers()]}
    return sum(t.nbytes for t in tensors.values())
