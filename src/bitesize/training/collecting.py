"""Convert the user's input for prediction to parts in the same order: see `bitesize.training.given`."""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from bitesize.array_like import refuse_endless
from bitesize.decode.header import KINDS_OF_SUFFIXES, SUFFIXES
from bitesize.errors import BadSetting, BitesizeError, NotFound
from bitesize.files.names import Names, names_of
from bitesize.files.npy import read_header
from bitesize.files.pread import with_file
from bitesize.files.scan import matching, scan
from bitesize.lazy.array import LazyArray
from bitesize.sources.base import Source
from bitesize.sources.contents import refuse_contents, shown
from bitesize.sources.given import plain_data
from bitesize.sources.nifti import NiftiFiles
from bitesize.sources.open_to_train import open_to_train
from bitesize.sources.registry import by_suffix
from bitesize.sources.splits import SplitRequired
from bitesize.spec import Encoded, Pages, is_volume
from bitesize.storage import paths
from bitesize.training.adapting import (
    channels_first,
    expected_rows,
    fits,
    image_mode,
    is_row,
    shape_in_words,
    unchanged_images,
)
from bitesize.training.data import named, open_for_run, with_features
from bitesize.training.given import Given, Objects, OneEach, Rows
from bitesize.training.pictures import is_pillow

_TEXT = (str, bytes, os.PathLike)
# Settings of `bitesize.open` that define the data, and not only how images are decoded.
_LAYOUT = ("fields", "weights", "tag_delimiter", "file_is_row", "axes")
_LISTS = (".txt", ".lst", ".json")
# Layouts of which all files are predicted, also those not listed in a table, such as earlier predictions.
_LOOSE = ("a folder of files", "a table beside its files")
_SHOWN = 5


def collect(
    config: Mapping[str, Any],
    data: Any,
    opening: Mapping[str, Any] | None = None,
    *,
    labels: str | None = None,
    split: str | None = None,
) -> Given:
    """Collect the rows to predict, in order; files are listed but not opened, except for headers of `.npy` files.

    Parameters
    ----------
    config
        Config of the run.
    data
        A path, a glob, a folder or a list of them; an array, one row or a batch, or a list of rows; an image of Pillow or a list of
        them; a `Source`, or any other argument of `bitesize.open`.
    opening
        Settings of `bitesize.open` that override those of the run.
    labels, split
        As for `open_to_train`, labels as text.

    Raises
    ------
    NotFound
        If files do not exist; all of them are named.
    BitesizeError
        As `bitesize.open`.
    """
    collector = _Collector(config, dict(opening or {}), labels, split)
    collector.add(data)
    if not len(collector.given):
        raise BadSetting("there is nothing to predict: no files or rows are given")
    return collector.given


class _Collector:
    """Collector of parts."""

    def __init__(self, config: Mapping[str, Any], opening: dict[str, Any], labels: str | None, split: str | None) -> None:
        self._config, self._opening, self._labels, self._split = config, opening, labels, split
        self._expected = expected_rows(config)
        self._shape = self._expected.shape
        self._mode = opening.get("mode") or image_mode(config)
        self._orient = opening.get("orient", config["settings"].get("orient", True))
        self.given = Given(orient=self._orient)
        self._axes = opening.get("axes") or self._expected.axes
        self._pages: Pages = opening.get("pages") or config.get("pages") or "first"
        # Whether the user has defined the layout of the data: then it is not inspected file by file.
        self._said = labels is not None or split is not None or any(name in opening for name in _LAYOUT)
        self._files: list[Any] = []  # files of one row each, to be added next
        self._stacks: list[Any] = []  # or TIFF files whose pages are a row each

    def add(self, data: Any) -> None:
        """Add data of any kind."""
        refuse_contents(data, ", or PIL.Image.open(io.BytesIO(data))")
        if isinstance(data, Source):
            source = open_to_train(data)
            features = self._config.get("features")
            self._rows(with_features(source, tuple(features) if features else None, named(data)))
        elif isinstance(data, _TEXT):
            self._paths([data])
        elif is_pillow(data):
            self.given.parts.append(Objects([data], self._mode))
        elif isinstance(data, list | tuple) and data and all(isinstance(each, _TEXT) for each in data):
            self._paths(data)
        elif isinstance(data, list | tuple) and any(is_pillow(each) for each in data):
            if not all(map(is_pillow, data)):
                raise BadSetting("a list must contain only images of Pillow, only paths or only arrays")
            self.given.parts.append(Objects(data, self._mode))
        else:
            self._objects(plain_data(data))

    def _objects(self, data: Any) -> None:
        if isinstance(data, np.ndarray) and data.dtype.kind in "US" and data.ndim == 1:
            self._paths(data.tolist())
        elif isinstance(data, list | tuple) and len(data) and all(hasattr(each, "shape") for each in data):
            if all(np.shape(each) == () for each in data):
                self._array(np.asarray(data))
            else:
                self.given.parts.append(Objects(data, self._mode, self._axes if is_volume(self._expected) else ""))
        elif isinstance(data, list | tuple):
            self._array(_array_of(data))
        elif isinstance(data, np.ndarray | LazyArray):
            self._array(data)
        elif (
            hasattr(data, "__array__") and hasattr(data, "shape") and hasattr(data, "ndim") and not hasattr(data, "columns")
        ):
            self._array(data if np.shape(data) and not is_row(tuple(data.shape), self._expected) else np.asarray(data))
        else:
            self._rows(open_for_run(self._config, data, self._opening, labeled=False))

    def _array(self, data: Any) -> None:
        """Add an array: one row if it has the shape of a row, else a batch."""
        shape = tuple(data.shape)
        if is_row(shape, self._expected):
            data = data[None]
            self.given.said.append(f"x: the array is one row: {shape} is {shape_in_words(shape, self._expected)}")
        elif hint := channels_first(shape, self._expected):
            raise BadSetting(f"the run was trained on rows of shape {self._shape}, but the array has {shape}{hint}")
        axes = self._axes if len(self._axes) == len(data.shape) - 1 else None
        self._rows(open_to_train(data, False, axes=axes))

    # --- files and folders -------------------------------------------------------------------------------------------

    def _paths(self, data: Sequence[Any]) -> None:
        texts = [os.fsdecode(path) for path in data]
        missing, matches = [], []
        for text in texts:
            try:
                matches.append(self._matching(text))
            except NotFound as error:
                missing.append((text, error))
        if missing:
            if len(missing) == 1 and len(texts) == 1:
                raise missing[0][1]
            named_paths = ", ".join(shown(text) for text, _ in missing[:_SHOWN]) + (", ..." if len(missing) > _SHOWN else "")
            raise NotFound(f"{len(missing)} of {len(texts)} paths do not exist: {named_paths}")
        for files in matches:
            for path in files:
                self._path(path)
        self._flush()

    def _matching(self, path: str) -> list[str]:
        """Return the files that match a pattern; return a path unchanged if it exists, or if `bitesize.open` must check it.

        Raises
        ------
        NotFound
            If the path does not exist.
        """
        if "://" in path or os.path.exists(path.partition("::")[0]):
            return [path]
        if not glob.has_magic(path):
            raise NotFound(f"{shown(path)} does not exist")
        return matching(path)

    def _path(self, path: str) -> None:
        if paths.isdir(path):
            self._folder(path)
        elif self._said or not paths.isfile(path):
            self._source(path)
        else:
            self._file(path)

    def _file(self, path: str) -> None:
        suffix = os.path.splitext(path)[1].lower()
        if suffix == ".npy":
            self._npy(path)
        elif suffix in _LISTS:  # a glob of paths, or plain text
            try:
                source = open_for_run(self._config, path, self._opening, labeled=False)
            except BitesizeError:
                self._add_file(path)
            else:
                self._flush()
                self._rows(source)
        elif self._pages == "rows" and KINDS_OF_SUFFIXES.get(suffix) == "TIFF":
            if self._files:
                self._flush()
            self._stacks.append(path)
        elif suffix in SUFFIXES or by_suffix(path) in (None, NiftiFiles):
            self._add_file(path)
        else:
            self._source(path)

    def _npy(self, path: str) -> None:
        """Add a file: one row if it has the shape of a row or cannot be read, else many rows."""
        encoded = os.fsencode(path)
        try:
            shape = with_file(encoded, partial(read_header, path=encoded)).shape
        except BitesizeError:
            shape = ()
        several = fits(shape[1:], self._shape) or is_row(shape[1:], self._expected)
        if shape and not is_row(shape, self._expected) and several:
            self._source(path, {"axes": self._axes} if is_volume(self._expected) else None)
            return
        self._add_file(path)
        if len(shape) == len(self._shape):
            line = f"x: the file is one row: {shape} is {shape_in_words(shape, self._expected)}  [file_is_row=False]"
            if not any(each.startswith("x: the file is one row") for each in self.given.said):
                self.given.said.append(line)

    def _folder(self, path: str) -> None:
        """Add a folder: all of its files, also those that cannot be read, or its rows if it has another layout."""
        self._flush()
        try:
            source = self._opened(path)
        except SplitRequired:
            raise
        except BitesizeError:
            if self._said:
                raise
            listing = scan(path, None, flat=True)
            if not _has_rows(listing.names):
                raise
        else:
            if self._said or not _is_of_files(source):
                self._rows(source)
                return
            listing = scan(path, None, flat=True)
        self.given.count(listing.left_out)
        self._add_names(listing.names)

    def _source(self, path: str, more: Mapping[str, Any] | None = None) -> None:
        self._flush()
        self._rows(self._opened(path, more))

    def _opened(self, path: str, more: Mapping[str, Any] | None = None) -> Source:
        opening = {**self._opening, **(more or {})}
        return open_for_run(self._config, path, opening, labels=self._labels, split=self._split, labeled=False)

    def _rows(self, source: Source) -> None:
        self.given.parts.append(Rows(source))
        self.given.said += [str(choice) for choice in source.choices if not choice.chosen.startswith("labels")]
        self.given.count(source.left_out)

    def _add_file(self, path: str) -> None:
        """Add a file of one row, after files of several."""
        if self._stacks:
            self._flush()
        self._files.append(path)

    def _flush(self) -> None:
        if self._files:
            self._add_names(names_of(self._files))
        elif self._stacks:
            try:
                source = open_for_run(self._config, self._stacks, self._opening, labeled=False)
            except BitesizeError:  # none can be read: each has its reason
                self._add_names(names_of(self._stacks))
            else:
                self._rows(source)
        self._files, self._stacks = [], []

    def _add_names(self, names: Names) -> None:
        unchanged = None if "mode" in self._opening else unchanged_images(self._config)
        self.given.parts.append(OneEach(names, self._mode, self._orient, unchanged, self._axes, self._pages))


def _is_of_files(source: Source) -> bool:
    """Return whether rows are the images or `.npy` files of a folder, with or without class folders."""
    first = source.path(0)
    loose = source.layout in _LOOSE and first is not None
    return loose and (isinstance(source.spec["x"], Encoded) or first.lower().endswith(b".npy"))  # type: ignore[union-attr]


def _has_rows(names: Names) -> bool:
    """Return whether any file is an image or a `.npy` file by its name."""
    ends = (b".npy", *map(os.fsencode, SUFFIXES))
    return any(names.path(i).lower().endswith(ends) for i in range(len(names)))


def _array_of(data: Sequence[Any]) -> Any:
    refuse_endless(data, "data")
    try:
        array = np.asarray(data)
    except ValueError as error:  # rows of several lengths
        raise BadSetting(f"the rows of a list must have one shape: {error}") from error
    if array.dtype.kind not in "biuf":
        raise BadSetting(f"data to predict must be paths, arrays, images or numbers, not {data!r:.80}")
    return array
