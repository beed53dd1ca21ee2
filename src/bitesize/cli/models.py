"""`bitesize models`: list the values of `--model`, and the pixel range that each model expects."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from bitesize.cli.console import console, plain, print_json
from bitesize.cli.options import Json

_OWN = {
    "mlp": "Flatten, Dense 128, Dropout, Dense; for rows of any shape; default for features",
    "cnn": "a small residual convnet for images of at least 16 x 16 pixels, or volumes of at least 8 voxels along each axis; default for both",
    "unet": "a small U-Net for masks of images or volumes; default for them",
}
_OTHERS = {
    "file.py:function": "a function that takes no arguments or (shape, classes) and returns a Keras model; or a Keras model",
    "model.keras": "a saved Keras model, whose training is continued",
    "sklearn:SGDClassifier": "a scikit-learn classifier with partial_fit",
}


def models(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="A model of keras.applications to build and count the parameters of."),
    ] = None,
    json: Json = False,
) -> None:
    """List the models of `bitesize train --model`. With --weights, models of keras.applications start from pretrained weights."""
    from bitesize.training.pretrained import expected_colors, names

    if name is not None:
        return _describe(name, json=json)
    families: dict[str, list[str]] = {}
    for model in names():
        families.setdefault(_pixels(expected_colors(model)), []).append(model)
    if json:
        return print_json({"models": [*_OWN, *(model for family in families.values() for model in family)]})
    for model, what in (_OWN | _OTHERS).items():
        console.print(f"[bold]{model}[/]  {what}", highlight=False)
    for pixels, family in families.items():
        console.print(f"\nkeras.applications, with pixels {pixels}:", highlight=False)
        console.print(f"[bold]{', '.join(family)}[/]", highlight=False)
    console.print("\nTo count the parameters of a model: bitesize models MobileNetV2", highlight=False)
    return None


def _describe(name: str, *, json: bool) -> None:
    """Build a model without its top, and print its size."""
    from bitesize.training.pretrained import application_function, expected_colors

    base = application_function(name)(include_top=False, weights=None)
    facts: dict[str, Any] = {"name": name, "parameters": int(base.count_params()), "pixels": _pixels(expected_colors(name))}
    if json:
        return print_json(facts)
    console.print(
        f"{plain(name)}: {facts['parameters']:,} parameters, plus a Dense layer for the classes; pixels {facts['pixels']}",
        highlight=False,
        soft_wrap=True,
    )
    return None


def _pixels(colors: Any) -> str:
    """Describe the result of a color matrix for pixels of 0 to 255."""
    import numpy as np

    scale, offset = colors[:, :3].sum(axis=1), colors[:, 3]
    if np.allclose(scale, 1) and np.allclose(offset, 0):
        return "of 0 to 255, scaled by a layer of the model"
    low, high = offset, scale * 255 + offset
    if np.allclose(low, low[0]) and np.allclose(high, high[0]):
        return f"of {low[0]:g} to {high[0]:g}"
    order = "BGR" if np.allclose(colors[0, :2], 0) else "RGB"
    return f"{order}, the mean of ImageNet subtracted" + ("" if np.allclose(scale, 1) else ", divided by its deviation")
