"""`open`: the source that fits what it is given."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bitesize.decode.header import sniff
from bitesize.errors import BadFile, BadSetting, BitesizeError, NotFound
from bitesize.files.names import Names, names_of
from bitesize.files.pread import read_into, with_file
from bitesize.files.scan import Listing, matching, merge, scan
from bitesize.lazy.array import LazyArray
from bitesize.lazy.nodes import Node
from bitesize.sources.arrays import Arrays
from bitesize.sources.base import Asked, Files, Source
from bitesize.sources.beside import Beside, Zipped
from bitesize.sources.choices import Choice
from bitesize.sources.coco import coco_labels
from bitesize.sources.features import StackedFields
from bitesize.sources.images import ImageFiles
from bitesize.sources.kinds import by_suffix, kinds, need, taking, told
from bitesize.sources.labels import class_numbers
from bitesize.sources.masks import MASK_SUFFIXES, ImagesWithMasks
from bitesize.sources.splits import InParts, choose, choose_files, part_of, splits
from bitesize.sources.table import LabelledFiles, Table, files_of, labelled_files
from bitesize.spec import Encoded, Field, Mode

# Whole numbers of more different values than this are not named as classes: they are numbers to predict.
_MOST_NAMED = 100_000
WHOLE_NUMBERS = "different whole numbers taken as classes"

What = str | os.PathLike[str] | Source | ArrayLike | Mapping[str, Any] | Sequence[Any]


def open(  # noqa: A001 - reads as bs.open
    what: What,
    labels: ArrayLike | str | os.PathLike[str] | None = None,
    *,
    split: str | None = None,
    fields: Sequence[str] | Mapping[str, str] | None = None,
    mode: Mode = "RGB",
    orient: bool = True,
    weights: str | None = None,
    tag_delimiter: str | None = None,
    file_is_row: bool | None = None,
) -> Source:
    """Open data as a `Source`, without loading it: files of one row each are listed by name, and not opened.

    Parameters
    ----------
    what
        - a folder with a subfolder a class (``cat/*.jpg dog/*.jpg``, or `.npy` files), or a flat folder;
        - ``{"cat": folder, "dog": folder}``;
        - a list of paths, a glob such as ``"photos/*.jpg"``, or one image file;
        - files of many rows: a large `.npy`, `.npz`, HDF5, Parquet, tar or CSV file, a Zarr folder, or several of them: ``bitesize
          formats`` lists all kinds, and what they need;
        - an array, a `numpy.memmap` (of raw bytes, too), a `LazyArray`: rows of the first axis;
        - a data frame of pandas or Polars, an Arrow table, a Hugging Face dataset, a PyTorch dataset that tells its length.
    labels
        One label a row: integers or text (classes), floats or arrays (targets). Or the name of the field that has them. For
        a folder of files also a CSV file with the columns ``path`` (relative to the CSV's folder or to ``what``) and
        ``label``, or a JSON file as COCO has them; then only its files are taken. For a folder of images also a folder of masks, whose files have the same
        names but for the suffix; for an array of images (n, height, width, channels) also an array of masks (n, height, width).
    split
        Which part of the data to take, such as ``"train"``: a subfolder, or files whose names begin so. ``"val"`` also finds
        ``valid`` and ``validation``.
    fields
        For data with names of its own: the fields to take, or what to call them, ``{"x": "image", "y": "label"}``. All if not
        given.
    mode
        What images come out as: ``"RGB"``, ``"L"`` (gray) or ``"RGBA"``.
    orient
        Whether images are turned upright by their EXIF orientation.
    weights
        Name of the column of a table with one sample weight a row, at least 0; looked for under ``weight``, ``weights`` and ``sample_weight`` if not
        given; empty for no weights.
    tag_delimiter
        What separates several tags in one label of text, such as ``" "`` or ``"|"``: labels become float32 of shape (n, tags), 1
        for each tag that a row has. Empty to take each text as one class, whatever is in it.
    file_is_row
        Whether each file is one row, for kinds of files that may hold one row or many.

    Raises
    ------
    NotFound
        If there is no such file or folder, or nothing usable in it.
    BadSetting
        If labels do not fit, it cannot be told what the data is, or it is in parts and none is chosen.
    BadFile
        If a file of many rows, the first `.npy` of a folder, or a CSV cannot be read.
    MissingPackage
        If the data needs a package that is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> open(np.zeros((10, 4)), labels=["a", "b"] * 5)
    Arrays(10 rows of {x: (4,) float64, y: () int64}, 2 classes)
    """
    asked = Asked(labels, fields, mode, orient, None, weights, tag_delimiter, file_is_row)
    if isinstance(labels, Mapping):
        raise BadSetting("labels must be one a row, or the name of the field that has them, not a mapping")
    is_path = isinstance(what, str | os.PathLike)
    if isinstance(labels, os.PathLike):
        asked = replace(asked, labels=os.fspath(labels))
    folder = os.fspath(what) if is_path and os.path.isdir(os.fspath(what)) else None  # type: ignore[arg-type]
    if isinstance(what, Source):
        if labels is not None or fields is not None:
            raise BadSetting("a Source has its labels and fields already")
        return what
    if folder is not None:
        return _of_folder(folder, split, asked)
    if isinstance(labels, str | os.PathLike) and os.path.exists(labels):
        raise NotFound(f"a table of labels names files of a folder, and {what!r:.80} is none")
    if isinstance(what, Mapping) and (type(what) is dict or taking(what) is None):
        return _of_mapping(what, asked)
    if is_path:
        return _of_path(os.fspath(what), split, asked)  # type: ignore[arg-type]
    paths = None if isinstance(what, LazyArray) else _paths_in(what)
    if paths is not None:
        return _of_list(paths, asked, split)
    if split is not None and (isinstance(what, LazyArray | np.ndarray) or taking(what) is None):
        raise BadSetting(f"split={split!r} names a part of a folder, and what is given is no folder")
    if isinstance(what, LazyArray):
        return _of_array(what._node, asked)
    if not isinstance(what, np.ndarray):
        kind = taking(what)
        if kind is not None:
            return _opened(kind, what, split, asked)
    try:
        array = what if isinstance(what, np.ndarray) else np.asarray(what)
    except ValueError as error:
        raise BadSetting(f"the rows of a list must have one shape: {error}") from error
    return _of_array(array, asked)


def open_to_train(what: What, labels: Any = None, split: str | None = None, **settings: Any) -> Source:
    """Open data whose fields may have any names as ``x``, an image or the widest array, and ``y``, the labels.

    A column of sample weights is kept. Whole-number labels without names become one class a value, named by its digits:
    100 and 205 are two classes.

    Parameters
    ----------
    what, labels, split
        As in `open`.
    **settings
        The other settings of `open`.

    Raises
    ------
    BitesizeError
        As `open`.
    """
    source = open(what, labels, split=split, **settings)
    if settings.get("weights") and source.weight_name is None:
        source = _with_weights(source, settings["weights"])
    label, weight = source.label_name, source.weight_name
    columns = [name for name in source.spec if name not in (label, weight)]
    if columns and "x" not in columns and all(_is_number(source.spec[name]) for name in columns):
        features = StackedFields(source, columns)
        shown = ", ".join(columns[:10]) + (", ..." if len(columns) > 10 else "")
        features.choices = (*source.choices, Choice(f"x: the columns {shown} as one row of features", "fields="))
        source = features
    if source.main != "x" or label not in (None, "y"):
        if source.main == label:
            raise BadFile(f"{what!r:.80} has nothing but labels: {', '.join(source.spec)}")
        fields = {"x": source.main} | ({"y": label} if label else {}) | ({weight: weight} if weight else {})
        source = Zipped([(fields, source)])
    if source.classes is None and source.labels is not None:
        numbers, places = np.unique(source.labels, return_inverse=True)
        if len(numbers) <= _MOST_NAMED:
            name = source.label_name or "y"
            named = Beside(source, {name: places.astype(np.int64)}, tuple(map(str, numbers.tolist())), name)
            named.choices = (*source.choices, Choice(f"labels: {len(numbers):,} {WHOLE_NUMBERS}", "labels="))
            source = named
    return source


def _with_weights(source: Source, name: str) -> Source:
    """Take a column of data that has no tables' columns, such as .npz, for sample weights."""
    if name not in source.column_names:
        raise BadSetting(f"weights={name!r}: there is no such column: the data has {', '.join(source.column_names)}")
    weighed = Beside(source, {name: source.column(name).astype(np.float64)}, source.classes)
    weighed.weight_name = name
    return weighed


def _is_number(what: Field | Encoded) -> bool:
    return isinstance(what, Field) and what.shape == () and what.dtype.kind in "biuf"


def open_parts(what: What, labels: Any = None, **settings: Any) -> tuple[dict[str, Source], dict[str, BadFile]]:
    """Open all parts of data as `open_to_train` does, by name; data that is in no parts is the one part ``"data"``.

    Returns
    -------
    dict of str to Source, dict of str to BadFile
        The parts, and the errors of those that are so damaged that they cannot be opened.

    Raises
    ------
    BitesizeError
        As `open`, for other reasons.
    """
    parts: dict[str, Source] = {}
    damaged: dict[str, BadFile] = {}
    try:
        parts["data"] = open_to_train(what, labels, **settings)
    except BadFile as error:
        damaged["data"] = error
    except InParts as error:
        for part in error.parts:
            try:
                parts[part] = open_to_train(what, labels, part, **settings)
            except BadFile as bad:
                damaged[part] = bad
    return parts, damaged


def _paths_in(what: Any) -> list[Any] | None:
    """Give the paths that a list or an array of text holds, or None if it holds something else."""
    if isinstance(what, np.ndarray):
        return what.tolist() if what.dtype.kind in "US" and what.ndim == 1 else None
    if not isinstance(what, Sequence) or not what:
        return None
    if not isinstance(what, list | tuple):  # another package's sequence may take long to go through
        return None
    kinds = {isinstance(part, str | bytes | os.PathLike) for part in what}
    if kinds == {True, False}:
        raise BadSetting("a list must hold paths or numbers, not both")
    return [os.fspath(part) for part in what] if kinds == {True} else None


def _of_folder(path: str, split: str | None, asked: Asked) -> Source:
    labels = asked.labels
    kind = taking(path)
    named = isinstance(labels, str) and bool(os.path.dirname(labels) or os.path.splitext(labels)[1])
    if kind is Table and named and os.path.exists(labels):
        kind = None  # another table, or masks
    if kind is not None:
        return _opened(kind, path, split, asked)
    if isinstance(labels, str | os.PathLike) and os.path.isdir(labels):
        return _of_masks([os.path.join(os.fspath(folder), split or "") for folder in (path, labels)], asked)
    if isinstance(labels, str | os.PathLike) and (os.path.isfile(labels) or os.path.splitext(labels)[1]):
        if os.fspath(labels).lower().endswith(".json"):
            return _of_coco(labels, os.path.join(path, split or ""), asked)
        return _of_labelled(labelled_files(labels, os.path.join(path, split or ""), asked.tag_delimiter), asked)
    if split is None:
        parts = splits(path)
        if parts:
            raise InParts(path, parts)
    else:
        part = choose(path, split)
        if part is not None:
            return _of_folder(part, None, asked)
    suffixes = {suffix for kind in kinds() for suffix in kind.suffixes}
    found = scan(path, suffixes)
    return _of_listing(found, path, split, asked)


def _of_mapping(what: Mapping[str, Any], asked: Asked) -> Source:
    if asked.labels is not None or not what or not all(isinstance(folder, str | os.PathLike) for folder in what.values()):
        raise BadSetting('a mapping needs a folder for each class, {"cat": folder, "dog": folder}, and no labels beside it')
    suffixes = {suffix for kind in kinds() if kind.file_is_row for suffix in kind.suffixes}
    found = merge({str(name): folder for name, folder in what.items()}, suffixes)
    return _of_listing(found, "the mapping", None, asked)


def _of_path(path: str, split: str | None, asked: Asked) -> Source:
    if os.path.isfile(path):
        kind = taking(path)
        if kind is not None:
            return _opened(kind, path, split, asked)
        return _of_list([path], asked, split)
    if glob.has_magic(path):
        found = matching(path)
        kind = _one_kind(found)
        if kind.file_is_row:
            return _of_list(choose_files(found, split, path), asked)
        return _of_part_of_files(kind, [os.path.abspath(name) for name in found], split, path, asked)
    raise NotFound(f"{path} does not exist")


def _of_list(paths: Sequence[Any], asked: Asked, split: str | None = None) -> Source:
    for i, path in enumerate(paths):
        if not os.path.exists(path):
            raise NotFound(f"{os.fsdecode(path)} does not exist (path {i} of {len(paths)})")
        if not os.path.isfile(path) and not os.path.isdir(path):
            raise NotFound(f"{os.fsdecode(path)} is no regular file (path {i} of {len(paths)})")
    kind = _one_kind([os.fsdecode(path) for path in paths])
    if kind.file_is_row and split is None:
        need(kind)
        return _of_names(names_of(paths), {}, asked)
    return _opened(kind, [os.path.abspath(os.fsdecode(path)) for path in paths], split, asked)


def _of_listing(found: Listing, path: str, split: str | None, asked: Asked) -> Source:
    counts = {suffix: count for suffix, count in found.kinds.items() if count}
    kind = _one_kind([suffix for suffix, count in counts.items() for _ in range(min(count, 2))], counts)
    need(kind)
    if kind.file_is_row:
        if asked.labels is None:
            return kind.of_files(Files(found.names, found.labels, found.classes, found.left_out), _no_fields(asked))
        return _of_names(found.names, found.left_out, asked)
    paths = [os.fsdecode(found.names.path(i)) for i in range(len(found.names))]
    return _of_part_of_files(kind, paths, split, path, asked)


def _of_part_of_files(kind: type[Source], paths: list[str], split: str | None, where: str, asked: Asked) -> Source:
    """Open those of several files of many rows that are a part by their names; or of their rows those that are, by a column."""
    if not kind.in_parts:
        return _opened(kind, choose_files(paths, split, where), None, asked)
    if not any(part_of(os.path.basename(path)) for path in paths):
        return _opened(kind, paths, split, asked)
    try:
        chosen = choose_files(paths, split, where)
        try:
            return _opened(kind, chosen, None, asked)
        except InParts:
            if split is None:
                raise
            return _opened(kind, chosen, split, asked)
    except NotFound as error:
        try:
            return _opened(kind, paths, split, asked)
        except BadSetting:
            raise error from None


def _of_names(names: Names, left_out: Mapping[str, int], asked: Asked) -> Source:
    """Open files of one row each, with the labels that are given."""
    kind = _one_kind([os.fsdecode(names.path(i)) for i in range(len(names))])
    labels = _no_fields(asked).labels
    numbers, classes = (None, None) if labels is None else class_numbers(labels, len(names), asked.tag_delimiter)
    return kind.of_files(Files(names, numbers, classes, left_out), asked)


def _of_labelled(found: LabelledFiles, asked: Asked) -> Source:
    """Open the files that a table of labels names."""
    source = _of_names(found.names, {}, replace(asked, labels=found.labels, tag_delimiter=""))
    source.choices = (*source.choices, *found.choices)
    if found.classes is not None:
        source.classes = found.classes
    return source


def _of_masks(folders: Sequence[str], asked: Asked) -> Source:
    images, found = scan(folders[0], ImageFiles.suffixes), scan(folders[1], MASK_SUFFIXES)
    return ImagesWithMasks(images.names, found.names, mode=asked.mode, orient=asked.orient, left_out=images.left_out)


def _of_coco(labels: str | os.PathLike[str], folder: str, asked: Asked) -> Source:
    if not os.path.isfile(labels):
        raise NotFound(f"{os.fspath(labels)} does not exist")
    found = coco_labels(labels)
    names = files_of(found.files, [folder, os.path.dirname(labels)], os.fspath(labels))
    kind = _one_kind([os.fsdecode(names.path(i)) for i in range(len(names))])
    files = Files(names, found.labels, found.classes or None, found.left_out)
    source = kind.of_files(files, _no_fields(replace(asked, labels=None)))
    source.choices = (*source.choices, *found.choices)
    return source


def _of_array(array: NDArray[Any] | Node, asked: Asked) -> Source:
    labels = _no_fields(asked).labels
    if not array.shape or getattr(array.dtype, "hasobject", False):
        raise BadSetting(
            f"cannot tell what {array!r:.200} is: a path, a list of paths, or an array with rows is needed. bitesize opens {told()}"
        )
    if labels is None:
        return Arrays(array)
    numbers, classes = class_numbers(labels, array.shape[0], asked.tag_delimiter)
    return Arrays(array, numbers, classes)


def _opened(kind: type[Source], what: Any, split: str | None, asked: Asked) -> Source:
    """Open data that may have names of its own; labels that are given, and not named, come beside."""
    need(kind)
    if split is not None and not kind.in_parts:
        raise BadSetting(f"split={split!r} names a part of a folder, and {what!r:.100} is in no parts")
    asked = replace(asked, split=split)
    if asked.labels is None or isinstance(asked.labels, str) or kind.in_parts:
        return kind.opened(what, asked)  # tables take lists themselves, which may name columns
    source = kind.opened(what, replace(asked, labels=None))
    numbers, classes = class_numbers(asked.labels, len(source), asked.tag_delimiter)
    return Beside(source, {"y": numbers}, classes)


def _no_fields(asked: Asked) -> Asked:
    """Refuse names of fields where data has none."""
    if asked.fields is not None:
        raise BadSetting(f"fields={asked.fields!r}: this data has no names of its own, its fields are x and y")
    if isinstance(asked.labels, str | os.PathLike):
        raise NotFound(f"labels={os.fspath(asked.labels)!r} is neither a table nor a folder, and no field of this data")
    return asked


def _one_kind(names: Sequence[str], counts: Mapping[str, int] | None = None) -> type[Source]:
    """Choose the source that takes all these files."""
    suffixes = counts or Counter(os.path.splitext(name)[1].lower() for name in names)
    chosen: dict[type[Source], str] = {}
    for name in {os.path.splitext(name)[1].lower() or name: name for name in names}.values():
        kind = by_suffix(name) or _by_bytes(name)
        if kind is None:
            raise BadSetting(f"cannot tell what {name} is. bitesize opens {told()}")
        chosen[kind] = name
    if len(chosen) > 1:
        seen = ", ".join(f"{count} {suffix or 'without a suffix'}" for suffix, count in sorted(suffixes.items()))
        raise BadSetting(f"data of several kinds is mixed ({seen}): open it apart, or pass a list of the files you mean")
    return next(iter(chosen))


def _by_bytes(path: str) -> type[Source] | None:
    """Find an image by its first bytes."""
    start = bytearray(16)
    try:
        with_file(os.fsencode(path), lambda fd: read_into(fd, [start], 0, os.fsencode(path)))
        sniff(bytes(start))
    except BitesizeError:
        return None
    return ImageFiles
