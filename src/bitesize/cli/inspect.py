"""`bitesize inspect`: render what the model sees as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from bitesize.cli.console import console, counted, described, plain, print_understood, say_when_compiling, say_written
from bitesize.cli.named_run import open_run
from bitesize.cli.options import Data, ImageSize, Opening, Overwrite, refuse_to_replace, takes_options
from bitesize.memory.sizes import rounded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bitesize.cli.captions import Captions
    from bitesize.sources.base import Source

_TILE = 160  # pixels: eight rows of four fill a screen
_TEXT, _GAP = 14, 6
_MOST_ROWS, _MOST_DRAWS = 90, 90  # WebP allows at most 16,383 pixels per side
_MOST_PICTURES = 4_000  # of a page: about 20 MB


@takes_options
def inspect(
    data: Data,
    opening: Opening,
    out: Annotated[
        str, typer.Option(metavar="FILE", help="The picture to write: .png, .jpg or .webp; or a page: .html.")
    ] = "grid.png",
    rows: Annotated[int, typer.Option(metavar="N", help="Number of rows to show. 8 fill a screen.")] = 8,
    draws: Annotated[
        int, typer.Option(metavar="N", help="Number of renderings per row, each with other random numbers.")
    ] = 3,
    image_size: ImageSize = None,
    run: Annotated[
        str | None, typer.Option(metavar="RUN", help="Show what this run's model was trained on, instead of the defaults.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the choice of rows and of augmentation.")] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Render a grid of rows, each as stored and as transformed for training, to show what the model sees; masks are colored over it."""
    import bitesize as bs
    from bitesize.errors import BadSetting
    from bitesize.pictures.picture import axes_of_pictures
    from bitesize.training.adapting import reading_of_run

    if rows < 1 or draws < 1:
        raise BadSetting("--rows and --draws must be at least 1")
    kind = _kind_of(out)
    refuse_to_replace(out, overwrite)
    if kind == "HTML" and rows * (draws + 1) > _MOST_PICTURES:
        raise BadSetting(
            f"--rows and --draws make {rows * (draws + 1):,} pictures: a page can have at most {_MOST_PICTURES:,}"
        )
    if kind != "HTML" and (rows > _MOST_ROWS or draws > _MOST_DRAWS):
        raise BadSetting(
            f"--rows can be at most {_MOST_ROWS} and --draws at most {_MOST_DRAWS}: a larger picture cannot be viewed (--out grid.html takes more)"
        )
    say_when_compiling()
    config = None if run is None else open_run(run, uses_model=False).config()
    source = _opened(data, opening, {} if config is None else reading_of_run(config))
    print_understood(source)
    field = source.spec["x"]
    if not axes_of_pictures(field):
        hint = " (--axes says what the axes of a row are)" if len(field.shape) > 2 else ""
        raise BadSetting(f"inspect shows images and volumes, but the rows are {field}{hint}")
    steps = _steps(source, image_size, config)
    chosen = bs.Order(len(source), seed).rows(0, 0, min(rows, len(source)))
    if kind == "HTML":
        _write_page(out, data, source, chosen.tolist(), steps, draws, seed)
        return
    _write_picture(out, kind, source, chosen.tolist(), steps, draws, seed)


def _write_picture(out: str, kind: str, source: Source, rows: list[int], steps: list[Any], draws: int, seed: int) -> None:
    """Write a grid of pictures, and print its path."""
    import numpy as np

    from bitesize.pictures.picture import said_of_pictures
    from bitesize.report.drawing import draw_rows, draw_stored

    part = source.subset(np.asarray(rows, np.int64))
    raw, problems = draw_stored(part, _TILE, seed=seed)
    tiles = [draw_rows(part, steps, _TILE, epoch=epoch, seed=seed)[0] for epoch in range(draws)]
    captions = captions_of(source, rows)
    _write_grid(out, kind, raw, tiles, captions, problems)
    views = "as the model sees it" if draws == 1 else f"{draws} random views as in training"
    console.print(
        f"wrote {plain(out)}: {counted(len(rows), 'row')}; left as stored, then {views}", highlight=False, soft_wrap=True
    )
    for line in said_of_pictures(source.spec["x"]):
        console.print(line, highlight=False)
    if captions.legend:
        console.print("no installed font has the letters of all names; the picture shows numbers:", highlight=False)
        for line in captions.legend:
            console.print(f"  {plain(line)}", highlight=False, soft_wrap=True)
    console.print(f"[dim]{plain(', '.join(map(repr, steps)) or 'no transforms')}[/]", highlight=False)


def _opened(data: str, opening: Opening, reading: dict[str, Any]) -> Any:
    """Open data as a run reads its rows; other data than the run's may have no pages."""
    from bitesize.sources.open import NoPages

    try:
        return opening.open(data, reading)
    except NoPages:
        if opening.pages is not None:
            raise
        del reading["pages"]
        return opening.open(data, reading)


def _steps(source: Source, image_size: int | None, config: Mapping[str, Any] | None) -> list[Any]:
    """Return the transforms, without those that only change the range of values."""
    from bitesize.report.drawing import shapes_only
    from bitesize.training.settings import geometry

    if config is None:
        return list(geometry(source, image_size, augment=True))
    return list(shapes_only(config["train_transforms"]))


def captions_of(source: Source, rows: list[int]) -> Captions:
    """Return captions of rows: their class and file name."""
    import os

    from bitesize.cli.captions import Captions

    numbers: list[int | None] = [None] * len(rows)
    if source.labels is not None and source.classes:
        numbers = [int(source.labels[row]) for row in rows]
    return Captions(rows, labels_of(source, rows), numbers, [os.path.basename(source.describe(row)) for row in rows])


def labels_of(source: Source, rows: list[int]) -> list[str]:
    """Return the labels of rows as text: classes, tags or numbers; empty without labels."""
    if source.labels is None:
        return _tags_or_numbers(source, rows)
    if source.classes:
        return [source.classes[int(source.labels[row])] for row in rows]
    return [str(source.labels[row]) for row in rows]


def _tags_or_numbers(source: Source, rows: list[int]) -> list[str]:
    """Return the tags or numbers of rows as text; empty for other labels."""
    import numpy as np

    from bitesize.spec import Field
    from bitesize.training.tasks.targets import read_labels

    field = source.spec.get("y")
    if not isinstance(field, Field) or field.mask or len(field.shape) > 1:
        return [""] * len(rows)
    values = read_labels(source, np.asarray(rows, np.int64))
    if source.classes:
        return [
            ", ".join(name for name, there in zip(source.classes, row, strict=True) if there) or "no tag" for row in values
        ]
    numbers = [[rounded(value) for value in np.ravel(row).tolist()] for row in values]
    names = source.target_names
    if names is None:
        return [", ".join(row) for row in numbers]
    return [", ".join(f"{name} {number}" for name, number in zip(names, row, strict=False)) for row in numbers]


def _kind_of(out: str) -> str:
    """Return the format to write, before any work is done."""
    import os

    from bitesize.errors import BadSetting, NotFound
    from bitesize.storage.url import is_url

    suffix = os.path.splitext(out)[1].lower()
    kinds = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".html": "HTML"}
    if suffix not in kinds:
        raise BadSetting(f"--out must end in {', '.join(kinds)}, not {out!r}")
    if os.path.isdir(out):
        raise BadSetting(f"--out needs a file, but {out} is a folder")
    if not is_url(out) and not os.path.isdir(os.path.dirname(os.path.abspath(out))):
        raise NotFound(f"the folder of --out {out} does not exist")
    return kinds[suffix]


def _write_page(out: str, data: str, source: Source, rows: list[int], steps: list[Any], draws: int, seed: int) -> None:
    """Write a page with a line of pictures for each row, and print its path."""
    from bitesize.cli.bar import counting
    from bitesize.files.transfer import replacing_at
    from bitesize.pictures.picture import said_of_pictures
    from bitesize.report.inspect_page import rows_of_page
    from bitesize.report.page import write_page

    with counting("drawing", len(rows)) as advance:
        drawn = list(rows_of_page(source, rows, steps, draws, seed, lambda block: labels_of(source, block), advance))
    values = {
        "name": data,
        "rows": drawn,
        "draws": draws,
        "said": said_of_pictures(source.spec["x"]),
        "data": described(source),
    }
    with replacing_at(out) as temporary:
        write_page(temporary, "inspect.html", steps=", ".join(map(repr, steps)) or "no transforms", **values)
    say_written(out)


def _write_grid(
    out: str, kind: str, raw: list[Any], tiles: list[list[Any]], captions: Captions, problems: dict[int, str]
) -> None:
    """Write one line per row: the stored image, then each rendering."""
    from PIL import Image, ImageDraw

    from bitesize.files.transfer import replacing_at

    width = _GAP + (len(tiles) + 1) * (_TILE + _GAP)
    sheet = Image.new("RGB", (width, _GAP + len(raw) * (_TILE + _TEXT + _GAP)), "white")
    pen = ImageDraw.Draw(sheet)
    for i, picture in enumerate(raw):
        top = _GAP + i * (_TILE + _TEXT + _GAP)
        said = f"{captions.lines[i]}: {_ascii(problems[i])}" if i in problems else captions.lines[i]
        pen.text((_GAP, top), said[: width // 6], fill="black", font=captions.font)
        for j, pixels in enumerate([picture, *(drawn[i] for drawn in tiles)]):
            tile = Image.fromarray(pixels)
            if max(tile.size) > _TILE:
                tile.thumbnail((_TILE, _TILE))
            scale = max(1, _TILE // max(tile.size))
            tile = tile.resize((tile.width * scale, tile.height * scale), Image.Resampling.NEAREST)
            sheet.paste(tile, (_GAP + j * (_TILE + _GAP), top + _TEXT))
    with replacing_at(out) as temporary:
        sheet.save(temporary, kind)


def _ascii(text: str) -> str:
    """Escape characters that the font may not have."""
    return text.encode("ascii", "backslashreplace").decode()
