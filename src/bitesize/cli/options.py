"""Options that several commands share, each with its default's reason."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import fields as fields_of
from typing import Annotated, Any

import typer

Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="A folder with a subfolder a class, of images or of .npy files; one large .npy file; or what `bitesize formats` lists.",
    ),
]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="The folder that `bitesize train --out` wrote.")]
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
    int | None,
    typer.Option(
        metavar="PIXELS",
        help="Side of the square that images are resized to. 96, or 128 for models of keras.applications, if not given; arrays stay.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead, for scripts.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace --out, if there is such a file already.")]
OnError = Annotated[
    str,
    typer.Option(
        metavar="raise|skip",
        help="What to do when a file cannot be read. raise: stop, rather than train on less data than you meant.",
    ),
]
MaxBad = Annotated[
    float,
    typer.Option(
        metavar="SHARE",
        help="Largest share of rows that --on-error skip may leave out (one row is always allowed). Above 0.01 the data itself is "
        "suspect.",
    ),
]
Model = Annotated[
    str,
    typer.Option(
        metavar="MODEL",
        help="mlp, cnn, a name of keras.applications, file.py:function, a saved .keras, or sklearn:SGDClassifier and its like. "
        "auto: cnn for images, which learns from few on a CPU; mlp for rows of features. A function of yours takes nothing, or "
        "(shape, classes), and returns a Keras model. bitesize models lists them.",
    ),
]


def refuse_to_replace(out: str, overwrite: bool) -> None:
    """Raise before any work where a file that is to be written is there already, and may be of value to somebody.

    Raises
    ------
    BadSetting
        If there is such a file, and ``overwrite`` is False.
    """
    import os

    from bitesize.errors import BadSetting

    if os.path.lexists(out) and not overwrite:
        raise BadSetting(f"{out} exists: --overwrite replaces it, and another --out keeps it")


@dataclass(frozen=True)
class Opening:
    """The settings of `bitesize.open`, as switches of every command that opens data.

    Attributes
    ----------
    labels, split, fields, mode, orient, tag_delimiter, file_is_row
        As `bitesize.open` takes them; fields as text.
    sample_weights
        What `bitesize.open` takes as ``weights``.
    """

    labels: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE|PATTERN|none",
            help="The column or field with the labels, or several, a,b; a table with the columns path and label, instead of class "
            "folders; a pattern with the class in parentheses, '(cat|dog)', for paths of files; or none.",
        ),
    ] = None
    split: Annotated[
        str | None,
        typer.Option(metavar="PART", help="Which part to take, such as val, of data that comes in parts; none by default."),
    ] = None
    fields: Annotated[
        str | None,
        typer.Option(
            metavar="A,B|x=A,y=B", help="Fields or columns to take, or what each is called in the data. All by default."
        ),
    ] = None
    mode: Annotated[
        str | None,
        typer.Option(
            metavar="RGB|L|RGBA|...", help="What images are decoded to. L: gray. RGB by default: it suits most models."
        ),
    ] = None
    orient: Annotated[
        bool | None,
        typer.Option(
            "--orient/--no-orient", help="Turn photographs upright by their EXIF orientation, as is done by default."
        ),
    ] = None
    sample_weights: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The column of sample weights; one that is called so is found by itself."),
    ] = None
    tag_delimiter: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What separates several labels in one cell, such as '|'.")
    ] = None
    file_is_row: Annotated[
        bool | None,
        typer.Option(
            "--file-is-row/--no-file-is-row", help="Whether each file is one row, for files that may hold one or many."
        ),
    ] = None

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of `bitesize.open` besides labels and split that are given."""
        given = {each.name: getattr(self, each.name) for each in fields_of(self) if each.name not in ("labels", "split")}
        given["fields"] = parse_fields(self.fields)
        given["weights"] = given.pop("sample_weights")
        return {name: value for name, value in given.items() if value is not None}

    @property
    def labels_setting(self) -> Any:
        """The labels as `bitesize.open` takes them: False for none, a list for several names."""
        from bitesize.training.settings import parse_labels

        return parse_labels(self.labels)

    def open(self, data: str) -> Any:
        """Open data for a command, as a `Source` with the fields x and y."""
        from bitesize.sources.open import open_to_train

        return open_to_train(data, self.labels_setting, self.split, **self.settings)


def opens_data(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the switches of `Opening`, in place of its parameter ``opening``."""
    signature = inspect.signature(command, eval_str=True)
    hints = inspect.get_annotations(Opening, eval_str=True)
    kind = inspect.Parameter.KEYWORD_ONLY
    added = [
        inspect.Parameter(each.name, kind, default=each.default, annotation=hints[each.name]) for each in fields_of(Opening)
    ]
    parameters: list[inspect.Parameter] = []
    for each in signature.parameters.values():
        parameters += added if each.name == "opening" else [each.replace(kind=kind)]

    @functools.wraps(command)
    def wrapped(**given: Any) -> None:
        opening = Opening(**{each.name: given.pop(each.name) for each in added})
        command(opening=opening, **given)

    wrapped.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {each.name: each.annotation for each in parameters}
    return wrapped


def parse_fields(text: str | None) -> list[str] | dict[str, str] | None:
    """Read names of fields, ``a,b``, or what each is called in the data, ``x=image,y=label``.

    Raises
    ------
    BadSetting
        If a name is missing, or both forms are mixed.

    Examples
    --------
    >>> parse_fields("a,b"), parse_fields("x=image, y=label")
    (['a', 'b'], {'x': 'image', 'y': 'label'})
    """
    from bitesize.errors import BadSetting

    if text is None:
        return None
    parts = [[word.strip() for word in part.split("=", 1)] for part in text.split(",")]
    if not all(all(part) for part in parts) or len({len(part) for part in parts}) > 1:
        raise BadSetting(f"--fields takes names, a,b, or what they are called in the data, x=image,y=label, not {text!r}")
    return {part[0]: part[1] for part in parts} if len(parts[0]) == 2 else [part[0] for part in parts]


def parse_batch_size(text: str) -> int | str:
    """Read a number or ``auto``."""
    return parse_count("--batch-size", text)


def parse_count(option: str, text: str) -> int | str:
    """Read a number or ``auto``."""
    from bitesize.errors import BadSetting

    if text == "auto":
        return "auto"
    try:
        return int(text)
    except ValueError:
        raise BadSetting(f"{option} must be a whole number or auto, not {text!r}") from None


def parse_on_error(text: str) -> str:
    """Read ``raise`` or ``skip``."""
    from bitesize.errors import BadSetting

    if text not in ("raise", "skip"):
        raise BadSetting(f"--on-error must be raise or skip, not {text!r}")
    return text
