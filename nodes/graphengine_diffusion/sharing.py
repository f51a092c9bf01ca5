"""Sharing: a copy of a module that holds every tensor in common with it, but for those that change."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import TypeVar

from torch import Tensor
from torch.nn import Module, Parameter

M = TypeVar("M", bound=Module)


def copy_with(module: M, changed: Mapping[str, Tensor]) -> M:
    """A copy of a module with other weights under some names; the module itself stays as it is.

    What does not change is not copied, so the copy costs the bytes of the changed weights. Weights that a
    module holds under two names change under both.
    """
    shared: dict[int, object] = {id(t): t for t in [*module.parameters(), *module.buffers()]}
    for name, tensor in changed.items():
        shared[id(module.get_parameter(name))] = Parameter(tensor, requires_grad=False)
    return deepcopy(module, shared)
