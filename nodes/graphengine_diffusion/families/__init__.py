"""The families of models. A new one is a module beside this one, and a line in `FAMILIES`."""

from __future__ import annotations

from graphengine.errors import ModelError
from graphengine_diffusion.families import flux1, pixels, sd1, sd3, sdxl, sdxl_refiner
from graphengine_diffusion.families.family import Family, Model, ModelFolder

FAMILIES: dict[str, Family] = {
    "sd1": sd1,
    "sdxl": sdxl,
    "sdxl_refiner": sdxl_refiner,
    "sd3": sd3,
    "flux1": flux1,
    "pixels": pixels,
}


def read_model(folder: ModelFolder) -> Model:
    """The handles of a model folder, from whichever family knows its pipeline. ModelError if none does."""
    index = folder.json("model_index.json")
    pipeline = index.get("_class_name")
    for family in FAMILIES.values():
        if pipeline in family.PIPELINES and family.reads(index):
            return family.read(folder)
    known = ", ".join(dict.fromkeys(p for f in FAMILIES.values() for p in f.PIPELINES))
    raise ModelError(f"{folder.name} is a {pipeline}, which is of no known family; these are: {known}")
