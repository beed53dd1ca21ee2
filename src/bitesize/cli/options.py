"""Options that several commands share, each with the reason for its default."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, is_dataclass
from dataclasses import fields as fields_of
from typing import Annotated, Any

import typer

from bitesize.cli.listing import said_listing
from bitesize.cli.storage_options import set_storage_options

Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="A folder with one subfolder per class, of images or .npy files; one large .npy file; or any format in `bitesize formats`.",
    ),
]
RunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="The folder, or address, that `bitesize train --out` wrote.")
]
BatchSize = Annotated[
    str,
    typer.Option(
        metavar="N|auto",
        help="Rows per batch. 32 trains well nearly everywhere; auto: the largest power of two up to 256 that fits.",
    ),
]
Memory = Annotated[
    str,
    typer.Option(
        metavar="SIZE",
        help="Memory budget of loading, such as 512MiB. auto: a quarter of the available memory, or up to three quarters if the data "
        "needs it.",
    ),
]
ImageSize = Annotated[
    int | None,
    typer.Option(
        metavar="PIXELS",
        help="Side of the square that images are resized to. Default: 96, or 128 for models of keras.applications. Arrays keep their "
        "shape.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object for scripts.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the file --out if it exists.")]
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
        help="Largest share of rows that --on-error skip may skip (one row is always allowed). Above 0.01 the data itself is suspect.",
    ),
]
TaskName = Annotated[
    str,
    typer.Option(
        "--task",
        metavar="auto|classify|multilabel|regress|segment",
        help="What to learn: one class per row, several tags, numbers, or one class per pixel. auto: found from the labels.",
    ),
]
Model = Annotated[
    str,
    typer.Option(
        metavar="MODEL",
        help="mlp, cnn, unet, a name of keras.applications, file.py:function, a saved .keras file, or sklearn:SGDClassifier and similar. "
        "auto: cnn for images and volumes, because it learns from few images on a CPU; unet for masks; mlp for rows of features. A function takes no "
        "arguments or (shape, classes), and returns a Keras model. bitesize models lists all models.",
    ),
]

CacheSize = Annotated[
    str | None,
    typer.Option(
        "--cache",
        metavar="SIZE|auto",
        help="Keep decoded images on disk, in at most SIZE, so that later epochs and runs need not decode them. auto: half of the free "
        "space. Default: none, because it takes disk space.",
    ),
]
CacheFolder = Annotated[
    str | None,
    typer.Option(metavar="DIR", help="Folder of --cache. Default: the user's folder for caches; bitesize cache lists it."),
]
CacheKind = Annotated[
    str,
    typer.Option(
        metavar="exact|pixels",
        help="exact: the same values as without a cache. pixels: resized images are rounded to whole levels, a quarter of the bytes.",
    ),
]
MaxSide = Annotated[
    int | None,
    typer.Option(
        metavar="PIXELS",
        help="Reduce images whose longer side is larger, before anything else. Changes values, and makes --cache much smaller.",
    ),
]


def refuse_to_replace(out: str, overwrite: bool) -> None:
    """Raise, before any work is done, if the file to write exists already.

    Raises
    ------
    BadSetting
        If the file exists and ``overwrite`` is False.
    """
    import os

    from bitesize.errors import BadSetting
    from bitesize.storage import paths
    from bitesize.storage.url import is_url

    if (paths.exists(out) if is_url(out) else os.path.lexists(out)) and not overwrite:
        raise BadSetting(f"{out} exists already: use --overwrite to replace it, or another --out to keep it")


@dataclass(frozen=True)
class Opening:
    """Settings of `bitesize.open`, as options of every command that opens data.

    Attributes
    ----------
    labels, split, fields, mode, orient, labels_as, tag_delimiter, file_is_row, axes, pages
        As in `bitesize.open`; fields as text.
    sample_weights
        The ``weights`` of `bitesize.open`.
    listing
        As in `bitesize.open`.
    storage_option
        Options of the storages of all addresses among the arguments, as ``key=value``.
    """

    labels: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE|PATTERN|none",
            help="Column or field with the labels, or several of them: a,b; a table with the columns path and label, instead of class "
            "folders; a pattern with the class in parentheses, '(cat|dog)', for file paths; or none.",
        ),
    ] = None
    split: Annotated[
        str | None,
        typer.Option(metavar="PART", help="Split to open, such as val, if the data has splits. No default."),
    ] = None
    fields: Annotated[
        str | None,
        typer.Option(
            metavar="A,B|x=A,y=B", help="Fields or columns to read, optionally with their names in the data. Default: all."
        ),
    ] = None
    mode: Annotated[
        str | None,
        typer.Option(
            metavar="RGB|L|unchanged|...",
            help="Values of decoded images: RGB, L (gray) or RGBA of 8 bits, or unchanged: channels and type of the files. Default: RGB for "
            "images of 8 bits, otherwise unchanged.",
        ),
    ] = None
    orient: Annotated[
        bool | None,
        typer.Option("--orient/--no-orient", help="Rotate photographs upright by their EXIF orientation. Default: on."),
    ] = None
    sample_weights: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Column of sample weights. Columns named weight or sample_weight are found automatically."
        ),
    ] = None
    labels_as: Annotated[
        str | None,
        typer.Option(
            metavar="class|tags|masks",
            help="What annotations of objects (COCO, YOLO, Pascal VOC) become: the class of each image, a 0 or 1 for each class, or masks. "
            "Default: class, or tags if images have objects of several classes.",
        ),
    ] = None
    tag_delimiter: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Separator of several labels in one cell, such as '|'.")
    ] = None
    file_is_row: Annotated[
        bool | None,
        typer.Option(
            "--file-is-row/--no-file-is-row", help="Treat each file as one row, for formats that may hold one row or many."
        ),
    ] = None
    axes: Annotated[
        str | None,
        typer.Option(
            metavar="HW|HWC|DHW|DHWC", help="Axes of one row of an array: depth, height, width, channels. Default: by shape."
        ),
    ] = None
    pages: Annotated[
        str | None,
        typer.Option(
            metavar="first|channels|depth|rows",
            help="What the pages of TIFF files are: only the first is read, channels of one image, slices of a volume, or one row each. "
            "Default: what their metadata say, else first.",
        ),
    ] = None
    listing: Annotated[
        str | None,
        typer.Option(
            metavar="new|FILE",
            help="List the objects of a folder at an address again (new), or take them from an S3 inventory or a table of names. Default: a list "
            "of more than 10,000 objects is used again for a day.",
        ),
    ] = None
    storage_option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Option of the storage of addresses among the arguments, such as region=eu-west-1, endpoint=http://localhost:9000 or "
            "anonymous=true. Repeat it for several. Better for secrets: the environment, such as AWS_SECRET_ACCESS_KEY.",
        ),
    ] = None

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of `bitesize.open` that are given, without labels and split."""
        names = [each.name for each in fields_of(self) if each.name not in ("labels", "split", "listing", "storage_option")]
        given = {name: getattr(self, name) for name in names}
        given["fields"] = parse_fields(self.fields)
        given["weights"] = given.pop("sample_weights")
        return {name: value for name, value in given.items() if value is not None}

    @property
    def labels_setting(self) -> Any:
        """Labels for `bitesize.open`: False for none, a list for several names."""
        from bitesize.training.settings import parse_labels

        return parse_labels(self.labels)

    def open(self, data: str, otherwise: Mapping[str, Any] | None = None) -> Any:
        """Open data for a command, with other settings where none are given; return a `Source` with the fields x and y."""
        from bitesize.sources.open_to_train import open_to_train

        return open_to_train(data, self.labels_setting, self.split, **{**(otherwise or {}), **self.settings})


def takes_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of dataclasses, such as `Opening`, to a command: in place of the parameters of these types."""
    signature = inspect.signature(command, eval_str=True)
    groups: dict[str, Any] = {}
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        if is_dataclass(parameter.annotation):
            groups[parameter.name] = parameter.annotation
            parameters += _options_of(parameter.annotation)
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))

    @functools.wraps(command)
    def wrapped(**given: Any) -> None:
        """Call the command with its options in their dataclasses."""
        options = {
            name: group(**{each.name: given.pop(each.name) for each in fields_of(group)}) for name, group in groups.items()
        }
        opening = next((group for group in options.values() if isinstance(group, Opening)), None)
        if opening is not None and opening.storage_option:
            stored = [value for group in options.values() for value in vars(group).values()]
            resumes = any(getattr(group, "resume", False) for group in options.values())
            set_storage_options(opening.storage_option, [*given.values(), *stored], needs_address=not resumes)
        data = given.get("data") or next((group.data for group in options.values() if hasattr(group, "data")), None)
        with said_listing(opening.listing if opening is not None else None, data):
            command(**options, **given)

    wrapped.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return wrapped


def _options_of(group: Any) -> list[inspect.Parameter]:
    """Return the fields of a dataclass as parameters of a command."""
    hints = inspect.get_annotations(group, eval_str=True)
    kind = inspect.Parameter.KEYWORD_ONLY
    return [
        inspect.Parameter(each.name, kind, default=each.default, annotation=hints[each.name]) for each in fields_of(group)
    ]


def parse_fields(text: str | None) -> list[str] | dict[str, str] | None:
    """Parse names of fields, ``a,b``, or fields with their names in the data, ``x=image,y=label``.

    Raises
    ------
    typer.BadParameter
        If a name is missing, or both forms are mixed.

    Examples
    --------
    >>> parse_fields("a,b"), parse_fields("x=image, y=label")
    (['a', 'b'], {'x': 'image', 'y': 'label'})
    """
    if text is None:
        return None
    parts = [[word.strip() for word in part.split("=", 1)] for part in text.split(",")]
    if not all(all(part) for part in parts) or len({len(part) for part in parts}) > 1:
        raise typer.BadParameter(
            f"takes names, a,b, or fields with their names in the data, x=image,y=label, not {text!r}",
            param_hint="'--fields'",
        )
    return {part[0]: part[1] for part in parts} if len(parts[0]) == 2 else [part[0] for part in parts]


def parse_batch_size(text: str) -> int | str:
    """Parse a number or ``auto``."""
    return parse_count("--batch-size", text)


def parse_count(option: str, text: str) -> int | str:
    """Parse a number or ``auto``.

    Raises
    ------
    typer.BadParameter
        If it is neither: wrong usage.
    """
    if text == "auto":
        return "auto"
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"must be a whole number or auto, not {text!r}", param_hint=f"'{option}'") from None


def parse_on_error(text: str) -> str:
    """Parse ``raise`` or ``skip``.

    Raises
    ------
    typer.BadParameter
        If it is neither: wrong usage.
    """
    if text not in ("raise", "skip"):
        raise typer.BadParameter(f"must be raise or skip, not {text!r}", param_hint="'--on-error'")
    return text
