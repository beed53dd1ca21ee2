"""`open`: find the source that fits the given data."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bitesize.errors import BadFile, BadSetting, first_few
from bitesize.lazy.array import LazyArray
from bitesize.sources.addresses import check_used, listed_as, prepare
from bitesize.sources.axes import set_axes
from bitesize.sources.base import OpenOptions, Source
from bitesize.sources.choices import Choice
from bitesize.sources.combine.features import StackedFields
from bitesize.sources.combine.with_fields import WithFields
from bitesize.sources.contents import refuse_contents
from bitesize.sources.given import plain_data, plain_labels
from bitesize.sources.image_modes import with_modes
from bitesize.sources.layouts.listing import with_choices
from bitesize.sources.options import LabelsAs
from bitesize.sources.registry import match_object
from bitesize.sources.row_source import RowSource
from bitesize.sources.rules import open_by_rules, open_folder
from bitesize.spec import Encoded, Field, Mode, Pages, check_pages
from bitesize.storage import paths, remote
from bitesize.storage.url import is_url

_WEIGHTS = frozenset(("weight", "weights", "sample_weight", "sample_weights"))

Data = str | os.PathLike[str] | Source | ArrayLike | Mapping[str, Any] | Sequence[Any]
Labels = ArrayLike | str | os.PathLike[str] | re.Pattern[str] | Mapping[str, Any] | Literal[False] | None


def open(  # noqa: A001 - reads as bs.open
    data: Data,
    labels: Labels = None,
    *,
    split: str | None = None,
    fields: Sequence[str] | Mapping[str, str] | None = None,
    mode: Mode = "auto",
    orient: bool = True,
    weights: str | None = None,
    tag_delimiter: str | None = None,
    file_is_row: bool | None = None,
    axes: str | None = None,
    pages: Pages | None = None,
    labels_as: LabelsAs | None = None,
    storage_options: Mapping[str, Any] | None = None,
    listing: str | os.PathLike[str] = "auto",
) -> Source:
    """Open data as a `Source` without loading it: files of one row each are only listed, not opened.

    A table of rules recognizes the data: docs/data.md. `Source.explain` reports the decisions, and the setting that
    changes each. Files of folders and patterns come in natural order (``img2`` before ``img10``), files of a folder before
    files of its subfolders; lists keep their order.

    Parameters
    ----------
    data
        - a folder with one subfolder per class (``cat/*.jpg dog/*.jpg``, or `.npy` files), a flat folder, or one of the layouts
          of COCO, YOLO, Pascal VOC, Kaggle, Hugging Face, Hive;
        - ``{"cat": folder, "dog": folder}``, lists of files instead of folders, or arrays ``{"x": x, "y": y}``;
        - an address such as ``"s3://bucket/photos/"`` or ``"https://host/x.npy"`` wherever a path is expected, in lists and tables too;
        - a list of paths, of pairs (path, label) or (label, path), a glob such as ``"photos/**/*.jpg"``, or one image file;
        - files of many rows: a large `.npy`, `.npz`, HDF5, Parquet, tar or CSV file, a Zarr folder, or several of them: ``bitesize
          formats`` lists all formats, and the packages they need; ``"scans.h5::group/images"`` opens a part of a file;
        - an array, a `numpy.memmap` (also of raw bytes), a `LazyArray`: one row per entry of the first axis;
        - a data frame of pandas or Polars, an Arrow table, a Hugging Face dataset, a PyTorch dataset with a length.
    labels
        One label per row: integers or text (classes), floats or arrays (targets). For files, labels by position are accepted
        only if the order of the files is unambiguous; otherwise pass ``{name: label}``, by path, name, or name without suffix.
        Or the name of the field or column with the labels; several names for several targets. A regular expression with one
        group extracts the class from each path: ``"(cat|dog)"``. For a folder of files also a table with the columns ``path``
        (relative to the table's folder or to ``data``) and ``label``, or a JSON file in COCO's format; then only the files it
        lists are opened. For images also a folder, or a list, of masks; for an array of images (n, height, width, channels)
        also an array of masks (n, height, width). False: no labels, even if the data has labels.
    split
        Split of the data to open, such as ``"train"``: a subfolder, or files whose names start with it. ``"val"`` also matches
        ``valid`` and ``validation``.
    fields
        For data with named fields: the fields to select, or new names for them, ``{"x": "image", "y": "label"}``. Default: all
        fields.
    mode
        Values of decoded images: ``"RGB"``, ``"L"`` (gray) or ``"RGBA"`` with 8 bits; ``"I;16"`` (gray of 16 bits, values kept); or
        ``"unchanged"``: channels and dtype of the files, which must all agree with the first one. ``"auto"``: ``"RGB"`` for gray, RGB,
        RGBA and palettes of 8 bits, ``"unchanged"`` if a look at some files shows other values; `Source.choices` says so.
    orient
        Whether to rotate images upright according to their EXIF orientation.
    weights
        Name of the column with one sample weight per row, at least 0. Default: the column ``weight``, ``weights`` or
        ``sample_weight``, if there is one. Empty for no weights.
    tag_delimiter
        Separator of several tags in one text label, such as ``" "`` or ``"|"``: labels become float32 of shape (n, tags), with
        1 for each tag of a row. Empty to use each text as one class.
    file_is_row
        For `.npy`, HDF5 and `.npz` files: whether each file is one row, or holds many rows along its first axis. None: the
        usual meaning of the format, reported in `Source.choices`.
    axes
        For arrays and files of arrays, what the axes of one row are: ``"HW"``, ``"HWC"`` (images), ``"DHW"`` or ``"DHWC"`` (volumes:
        depth, height, width, channels). None: the shape decides; rows with four axes are volumes, and rows with three are images.
    pages
        What the pages of TIFF files are: ``"first"``: only the first page is read; ``"channels"``: channels of one image, (H, W, pages);
        ``"depth"``: slices of a volume, (pages, H, W) or (pages, H, W, C); ``"rows"``: one row each, with the label of their file. Values
        are unchanged, and all files must have the shape and the type of the first one. None: what the metadata of the first file say
        (ImageJ, OME), else ``"first"``; `Source.choices` says so.
    labels_as
        For images with annotated objects (COCO, YOLO, Pascal VOC): ``"class"``, the number of the one class of each image; ``"tags"``, float32 of
        shape (classes,), 1 for each class that an image has; ``"masks"``, the class number of each pixel, 0 for the background. None:
        classes if no image has objects of several classes, else tags. If given, classes are all that are listed, in each split.
    storage_options
        For data at addresses, settings of its storage, for this process: credentials, ``endpoint``, ``region``, ``profile``,
        ``anonymous=True`` for public data, ``requester_pays=True``. None: environment variables, profiles and roles of the machine.
    listing
        For folders at addresses. ``"auto"``: a list of more than 10,000 objects that is less than a day old is used again; others are made
        again. ``"new"``: the objects are listed. Otherwise, path or address of a file that replaces listing: an S3 inventory (its
        ``manifest.json``), or a CSV, Parquet or JSON Lines file with a column of names.

    Returns
    -------
    Source
        Rows of the data; nothing but names, headers and labels is in memory.

    Raises
    ------
    NotFound
        If the file or folder does not exist, or contains no usable data.
    BadSetting
        If labels do not fit, the data is ambiguous, or the data has splits and none is chosen.
    BadFile
        If a file of many rows, the first `.npy` of a folder, or a table cannot be read.
    MissingPackage
        If the data needs a package that is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> open(np.zeros((10, 4)), labels=["a", "b"] * 5)
    Arrays(10 rows of {x: (4,) float64, y: () int64}, 2 classes)
    """
    options = OpenOptions(
        labels,
        fields,
        mode,
        orient,
        split,
        weights,
        tag_delimiter,
        file_is_row,
        storage_options,
        listing,
        axes,
        pages,
        labels_as,
    )
    return open_with(data, options)


def open_with(data: Any, options: OpenOptions) -> Source:
    """Open data with options, as `open` does with its arguments.

    Raises
    ------
    BitesizeError
        As `open`.
    """
    check_pages(options.pages)
    if options.labels_as not in (None, "class", "tags", "masks"):
        raise BadSetting(f'labels_as must be "class", "tags" or "masks", not {options.labels_as!r}')
    return _opened_source(data, options) if isinstance(data, Source) else _open_data(data, options)


def _opened_source(source: Source, options: OpenOptions) -> Source:
    """Return a source unchanged, which was opened with its own options."""
    if options.labels is not None or options.fields is not None or options.split is not None:
        raise BadSetting("a Source already has labels, fields and a split")
    if options.labels_as is not None:
        raise BadSetting("labels_as= is for images with annotated objects, but a Source is already open")
    if options.storage_options is not None or options.listing != "auto":
        raise BadSetting("storage_options= and listing= are for data at addresses, but a Source is already open")
    if options.axes is not None:
        raise BadSetting(f"axes={options.axes!r} is for data that is opened now, but a Source is already open")
    if options.pages is not None:
        raise BadSetting(f"pages={options.pages!r} is for data that is opened now, but a Source is already open")
    return source


def _open_data(data: Any, options: OpenOptions) -> Source:
    """Open data by the rules, and note the folders that were listed for it."""
    with remote.listing() as lists, listed_as(data, options):
        source = with_modes(_open_by_rules(data, options))
        source.choices = (*source.choices, *(Choice(remote.summary(found), "") for found in lists))
    set_axes(source, options.axes)
    return source


def _open_by_rules(data: Any, options: OpenOptions) -> Source:
    """Open data by the rules, and note decisions that the rules left open: labels, sample weights and inputs."""
    refuse_contents(data, ", or an array of its pixels, numpy.asarray(PIL.Image.open(io.BytesIO(data)))[None]")
    plain, labels = plain_data(data), options.labels
    if isinstance(labels, os.PathLike):
        labels = os.fspath(labels)
    storages = prepare(plain, options)
    if isinstance(labels, str) and labels.lower().endswith(".npy") and paths.isfile(labels):
        labels = _labels_file(labels)
    labels, choices = plain_labels(labels, data)
    options = replace(options, labels=labels, labels_needed=options.labels_needed and labels is not False)
    source = _say_labels(_open(plain, options), options)
    check_used(source, plain, options)
    return with_choices(_say_inputs(_check_used(source, options), options), *choices, *storages)


def _say_inputs(source: Source, options: OpenOptions) -> Source:
    """Stack fields of one number each into one row of features; for other fields, note which field is the input."""
    inputs = [name for name in source.spec if name not in (source.label_name, source.weight_name)]
    if len(inputs) < 2:
        return source
    if options.fields is None and "x" not in inputs and all(is_number(source.spec[name]) for name in inputs):
        return one_row(source, inputs)
    rest = [name for name in inputs if name != source.primary]
    others = (
        f"{rest[0]} is in batches, and is an input"
        if len(rest) == 1
        else f"{', '.join(rest)} are in batches, and are inputs"
    )
    return with_choices(source, Choice(f"input: {source.primary}; {others} only if named", "inputs= of the output"))


def one_row(source: Source, names: Sequence[str]) -> Source:
    """Stack fields of one number each into one row of features, and note the choice."""
    shown = first_few(names, 10)
    return with_choices(StackedFields(source, names), Choice(f"x: the columns {shown} as one row of features", "fields="))


def _check_used(source: Source, options: OpenOptions) -> Source:
    """Raise `BadSetting` for settings that have no effect on the data, rather than ignore them."""
    if options.weights and source.weight_name is None:
        source = _with_weights(source, options.weights)
    elif options.weights is None and source.weight_name is None:
        name = next((name for name in source.spec if name.lower() in _WEIGHTS and is_number(source.spec[name])), None)
        if name is not None and len(source.spec) > 1 and name not in (source.label_name, source.primary):
            source = with_choices(_with_weights(source, name), Choice(f"sample weights: the field {name}", "weights="))
    label = source.spec.get(source.label_name or "")
    masks = options.labels_as == "masks" and isinstance(label, Encoded)
    if options.labels_as is not None and not masks and not any("labels_as" in choice.setting for choice in source.choices):
        raise NotAnnotated(
            f"labels_as={options.labels_as!r} is for images with annotated objects in the layouts of COCO, YOLO and Pascal VOC, but this data is {source!r}"
        )
    if options.pages is not None and not _takes_pages(source):
        raise NoPages(f"pages={options.pages!r} is for TIFF files and series of DICOM files, but this data is {source!r}")
    if options.tag_delimiter:
        field = source.spec.get(source.label_name or "")
        if not isinstance(field, Field) or not field.shape:
            raise BadSetting(
                f"tag_delimiter={options.tag_delimiter!r} separates tags in text labels, but this data has none"
            )
    return source


def _takes_pages(source: RowSource) -> bool:
    return source.takes_pages or any(map(_takes_pages, source.derived_from))


class NoPages(BadSetting):
    """Data have no pages, so ``pages=`` has no effect."""


class NotAnnotated(BadSetting):
    """Data have no annotated objects, so ``labels_as=`` has no effect."""


def _labels_file(path: str) -> NDArray[Any]:
    """Read labels from a `.npy` file; masks on the disk stay there until they are read."""
    try:
        if is_url(path):
            with paths.open(path) as file:
                labels: NDArray[Any] = np.load(file, allow_pickle=False)
        else:
            labels = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise BadFile(f"labels={path!r} cannot be read: {error}") from error
    return labels


def _open(data: Any, options: OpenOptions) -> Source:
    """Open data that is not a `Source`."""
    if isinstance(data, str | os.PathLike):
        return _of_path(os.fspath(data), options)
    _refuse_table_of_labels(data, options)
    if isinstance(data, Mapping) and (type(data) is dict or match_object(data) is None):
        _refuse_split(options, "a mapping")
        return open_by_rules("mapping", data, options)
    if isinstance(data, list | tuple) or (isinstance(data, np.ndarray) and data.dtype.kind in "USO" and data.ndim in (1, 2)):
        return open_by_rules("list", data, options)
    if isinstance(data, LazyArray | np.ndarray) or match_object(data) is None:
        _refuse_split(options, "this object")
    return open_by_rules("object", data, options)


def _say_labels(source: Source, options: OpenOptions) -> Source:
    """Note the origin of labels, or that several fields include no labels, unless a rule has noted it."""
    if options.labels is not None or any(
        choice.chosen.startswith(("labels", "files and labels", "inputs", "no labels")) for choice in source.choices
    ):
        return source
    label = source.label_name
    if label is not None:
        return with_choices(source, Choice(f"labels: the field {label}, by its name", "labels="))
    if len(source.spec) > 1:
        return with_choices(
            source,
            Choice(f"no labels: none of the fields {', '.join(list(source.spec)[:6])} has the name of a label", "labels="),
        )
    return source


def _of_path(path: str, options: OpenOptions) -> Source:
    """Open a folder, a file or a pattern."""
    if paths.isdir(path):
        return open_folder(path, options)
    if isinstance(options.labels, str) and paths.exists(options.labels) and not paths.isfile(path):
        _refuse_table_of_labels(path, options)
    return open_by_rules("path", path, options)


def _refuse_table_of_labels(data: Any, options: OpenOptions) -> None:
    if isinstance(options.labels, str) and paths.exists(options.labels):
        raise BadSetting(f"labels={options.labels!r} names files of a folder, but {data!r:.80} is not a folder")


def _refuse_split(options: OpenOptions, form: str) -> None:
    if options.split is not None:
        raise BadSetting(
            f"split={options.split!r} chooses a split of a folder, a table or a dataset, but {form} has no splits"
        )


def _with_weights(source: Source, name: str) -> Source:
    """Use a column of data that is not a table, such as .npz, as sample weights."""
    if name not in source.column_names:
        raise BadSetting(f"weights={name!r}: no such column: the columns are {', '.join(source.column_names)}")
    values = source.column(name).astype(np.float64)
    if not np.isfinite(values).all() or values.min() < 0:
        raise BadSetting(
            f"sample weights must be at least 0, but the values of {name!r} range from {values.min():g} to {values.max():g}"
        )
    weighed = WithFields(source, {name: values}, source.classes)
    weighed.weight_name = name
    return weighed


def is_number(field: Field | Encoded) -> bool:
    """Return whether rows of a field are one number each."""
    return isinstance(field, Field) and field.shape == () and field.dtype.kind in "biuf"
