"""The families of models. A new one is a module beside this one, and a line in `FAMILIES`."""

from __future__ import annotations

from graphengine.errors import ModelError
from graphengine_diffusion.families import sd1
from graphengine_diffusion.families.family import Family, Model, ModelFolder

FAMILIES: dict[str, Family] = {
    "sd1": sd1,
}


def read_model(folder: ModelFolder) -> Model:
    """The handles of a model folder, from whichever family knows its pipeline. ModelError if none does."""
    pipeline = folder.json("model_index.json").get("_class_name")
    for family in FAMILIES.values():
        if pipeline in family.PIPELINES:
            return family.read(folder)
    known = ", ".join(p for f in FAMILIES.values() for p in f.PIPELINES)
    raise ModelError(f"{folder.name} is a {pipeline}, which is of no known family; these are: {known}")
