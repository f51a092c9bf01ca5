"""Storybook: the small text-to-image model that ships with GraphEngine, and all it is made of.

`world` invents scenes and draws them, `captions` describes them in English, `train` learns to go
from the words to the picture, `judge` reads a picture back and `evaluate` counts how often it is
what the words say. The trained weights lie in `MODELS`: `storybook` is a StableDiffusionPipeline
folder, `judge` holds the classifier. Importing this package loads nothing.
"""

from pathlib import Path

PACK = "storybook"

MODULES = ("drawing",)

MODELS = Path(__file__).parent / "models"
"""The folder of the trained weights."""

__all__ = ["MODELS"]
