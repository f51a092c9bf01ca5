"""The standard pack: numbers, text, pictures, masks, and the control flow that graphs are made of."""

MODULES: tuple[str, ...] = (
    "flow", "numbers", "text", "files", "images", "filters", "comparing", "sheets", "plots", "masks",
)  # fmt: skip
