"""Diffusion models as nodes: text encoder, noise, schedule, prediction, guidance, solver step, VAE.

Every step of the sampling loop is a node of its own. Everything happens in sigma space with the denoised
picture as the prediction, as in Karras et al. 2022, so a solver or a schedule is written once for every
model. What differs from one family of models to another is one module in `families`.
"""

PACK = "diffusion"

CATALOGUE = "files.catalogue"

MODULES = (
    "loading",
    "lora",
    "embeddings",
    "text",
    "micro",
    "inpainting",
    "combining",
    "latents",
    "autoencoding",
    "reshaping",
    "masking",
    "previewing",
    "scheduling",
    "control",
    "predicting",
    "guidance",
    "solving",
    "upscaling",
    "training",
)
