"""Networks that make pictures larger; which one a file holds, and how large it is, is read off its shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from torch.nn import Module

from graphengine.errors import ModelError
from graphengine_diffusion.architectures import rrdb, srvgg

Shapes = Mapping[str, tuple[int, ...]]

PREFIXES = ("params_ema.", "params.", "module.")
"""What some converters leave in front of every name."""


class Network(NamedTuple):
    """A network of a file: how to build it, how much larger it makes a picture, its weights' names.

    `names` has each weight's name in the module and in the file.
    """

    build: Callable[[], Module]
    scale: int
    names: dict[str, str]


def network_of(shapes: Shapes) -> Network:
    """The network that weights of these shapes belong to. ModelError if none is known."""
    plain = {without_prefix(name): name for name in shapes}
    for architecture in (rrdb, srvgg):
        names = architecture.names_of(plain)
        if names is None:
            continue
        size = architecture.size_of({name: tuple(shapes[plain[old]]) for name, old in names.items()})
        if size is None:
            continue
        found = Network(size.build, size.scale, {name: plain[old] for name, old in names.items()})
        check(found, shapes)
        return found
    first = next(iter(shapes), "nothing")
    raise ModelError(
        f"its weights, such as {first}, are of no upscaler that is known; these are: RRDBNet (ESRGAN, "
        "Real-ESRGAN) and SRVGGNetCompact, as .safetensors"
    )


def without_prefix(name: str) -> str:
    """A weight's name without what converters leave in front."""
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


def check(network: Network, shapes: Shapes) -> None:
    """ModelError where the weights are not all of the network's, in its shapes; nothing is allocated."""
    import torch

    with torch.device("meta"):
        wanted = {name: tuple(tensor.shape) for name, tensor in network.build().state_dict().items()}
    if missing := sorted(wanted.keys() - network.names.keys()):
        raise ModelError(f"it lacks {len(missing)} of its weights, such as {missing[0]}; download it again")
    if more := sorted(network.names.keys() - wanted.keys()):
        raise ModelError(f"it has {named(more)} that the network does not know; it is a variant of it")
    for name, shape in wanted.items():
        if shape != tuple(shapes[network.names[name]]):
            raise ModelError(
                f"its {name} has the shape {list(shapes[network.names[name]])}, not {list(shape)}; it is "
                "another variant of the network, or damaged"
            )


def named(names: Iterable[str]) -> str:
    """How many, and the first."""
    first, *more = names
    return f"{1 + len(more)} weights, such as {first},"
