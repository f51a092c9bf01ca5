"""Conversion: the tensors of a pickle written as `.safetensors`. Runs as a process of its own.

    python -m graphengine_diffusion.files.conversion model.ckpt model.safetensors

torch reads the pickle with `weights_only`, which builds tensors and plain containers and calls nothing else;
what wants more is refused.
"""

from __future__ import annotations

import os
import pickle
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graphengine.folders import claim, unseen

WRAPPERS = ("state_dict", "params_ema", "params", "model")
"""The names under which training programs keep the weights, in a file that holds more."""


class NotPlain(ValueError):
    """A file that holds more than tensors by name."""


def plain_tensors(found: Any) -> dict[str, Any]:
    """The tensors by name. NotPlain if something else is among them."""
    import torch

    if isinstance(found, Mapping) and isinstance(found.get("string_to_param"), Mapping):
        # A textual inversion of A1111's web UI: its vectors under the name "*".
        found = {"emb_params": next(iter(found["string_to_param"].values()), None)}
    for wrapper in WRAPPERS:
        if isinstance(found, Mapping) and isinstance(found.get(wrapper), Mapping):
            found = found[wrapper]
            break
    if not isinstance(found, Mapping) or not found:
        raise NotPlain(f"it holds {type(found).__name__}, not tensors by name")
    tensors = {}
    for name, value in found.items():
        if not isinstance(name, str):
            raise NotPlain(f"{name!r} in it is no name")
        if not isinstance(value, torch.Tensor):
            raise NotPlain(f"{name!r} in it is {type(value).__name__}, not a tensor")
        if value.layout != torch.strided or value.is_quantized:
            raise NotPlain(f"{name!r} in it is no plain tensor")
        # Tensors of one storage would be refused by the format.
        tensors[name] = value.detach().clone(memory_format=torch.contiguous_format)
    return tensors


def convert(source: Path, target: Path) -> None:
    """Write the file. NotPlain if it holds anything but tensors; an existing file is never replaced."""
    import torch
    from safetensors.torch import save_file

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about protocols of pickle that it may not know
            found = torch.load(source, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        unsafe = "Unsupported global" in str(error) or "weights_only" in str(error)
        raise NotPlain("it wants to run code" if unsafe else f"it is damaged ({error})") from error
    except Exception as error:  # a damaged pickle may end in any error
        raise NotPlain(f"it is damaged ({type(error).__name__})") from error
    tensors = plain_tensors(found)
    temporary = unseen(target.parent)
    try:
        save_file(tensors, temporary, metadata={"format": "pt"})
        os.chmod(temporary, 0o644)
        if not claim(temporary, target):
            raise NotPlain(f"there is {target} already")
    finally:
        temporary.unlink(missing_ok=True)


def main(source: str, target: str) -> int:
    """Convert, and say in a sentence what cannot be."""
    try:
        convert(Path(source), Path(target))
    except (ValueError, OSError) as error:
        reason = str(error).partition("\n")[0]
        print(f"{source} is refused: {reason}; get the model as .safetensors", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
