"""Options that several commands share, each with its default's reason."""

from __future__ import annotations

from typing import Annotated

import typer

Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="A folder with a subfolder a class, of images or of .npy files; one large .npy file; or what `bitesize formats` lists.",
    ),
]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="The folder that `bitesize train --out` wrote.")]
Labels = Annotated[
    str | None,
    typer.Option(
        metavar="CSV",
        help="A CSV with the columns path and label, instead of class folders; or the field of the data that has them.",
    ),
]
BatchSize = Annotated[
    str,
    typer.Option(
        metavar="N|auto",
        help="Rows a batch. 32 trains well nearly everywhere; auto: the largest power of two up to 256 that fits.",
    ),
]
Memory = Annotated[
    str,
    typer.Option(
        metavar="SIZE",
        help="What loading may hold, such as 512MiB. auto: a quarter of what is available, or up to three quarters where the data needs it.",
    ),
]
ImageSize = Annotated[
    int | None, typer.Option(metavar="PIXELS", help="Side of the square that images are resized to; 128 if not given.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead, for scripts.")]
OnError = Annotated[
    str,
    typer.Option(
        metavar="raise|skip",
        help="What to do at a file that cannot be read. raise: better no model than one of other data than meant.",
    ),
]
MaxBad = Annotated[
    float,
    typer.Option(
        metavar="SHARE",
        help="Share of the rows that --on-error skip may leave out; one always may. 0.01: where more are damaged, something is wrong.",
    ),
]
Split = Annotated[
    str | None,
    typer.Option(metavar="PART", help="Which part to take, such as val, of data that comes in parts; none by default."),
]
Model = Annotated[
    str,
    typer.Option(
        help="mlp, cnn, a name of keras.applications, file.py:function, a saved .keras, or sklearn:SGDClassifier and its like. "
        "cnn learns from few images on a CPU."
    ),
]


def parse_batch_size(text: str) -> int | str:
    """Read a number or ``auto``."""
    from bitesize.errors import BadSetting

    if text == "auto":
        return "auto"
    try:
        return int(text)
    except ValueError:
        raise BadSetting(f"--batch-size must be a whole number or auto, not {text!r}") from None


def parse_on_error(text: str) -> str:
    """Read ``raise`` or ``skip``."""
    from bitesize.errors import BadSetting

    if text not in ("raise", "skip"):
        raise BadSetting(f"--on-error must be raise or skip, not {text!r}")
    return text
