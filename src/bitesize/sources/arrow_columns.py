"""Columns of Arrow tables as fields: their types, and copying their values into buffers of the caller."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bitesize.decode.header import SUFFIXES, sniff
from bitesize.errors import BadFile, BitesizeError
from bitesize.files.pread import read_files
from bitesize.sources.base import OpenOptions
from bitesize.spec import Encoded, Field
from bitesize.storage import paths


class ArrowColumn:
    """The conversion of a column of a table to a field.

    Parameters
    ----------
    name
        Name in the table.
    kind
        Arrow type.
    first
        Function that returns the first row, as an Arrow array of one value. It is called only if the type is not conclusive: for
        lists whose lengths may differ, of bytes, and of text that may name files.
    options
        Options for images.
    folder
        Folder of relative paths, or None if text is never a path.
    """

    def __init__(self, name: str, kind: Any, first: Callable[[], Any], options: OpenOptions, folder: str | None) -> None:
        import pyarrow as pa
        import pyarrow.types as kinds

        self.name = name
        self.folder: str | None = None  # the folder of relative paths, if the column holds paths
        self.start = b""  # of the first image
        self.field: Field | Encoded | None = None  # None if it is text, or cannot be a field
        self.why = ""
        self.is_text = False
        self.is_text_list = False  # several texts a row
        shape = None
        if isinstance(kind, pa.BaseExtensionType):
            if isinstance(kind, pa.FixedShapeTensorType):
                shape = tuple(kind.shape)
                if kind.permutation and list(kind.permutation) != sorted(kind.permutation):
                    self.why = "tensors whose axes are stored in another order"
                    return
            kind = kind.storage_type
        self.in_struct = kinds.is_struct(kind) and kind.get_field_index("bytes") >= 0
        if self.in_struct:  # images as Hugging Face stores them
            kind = kind.field("bytes").type
        if kinds.is_dictionary(kind):
            kind = kind.value_type
        if kinds.is_binary(kind) or kinds.is_large_binary(kind) or kinds.is_binary_view(kind):
            self._learn_binary(first, options)
        elif is_text(kind):
            self._learn_text(first, options, folder)
        else:
            self._learn_numbers(first, kind, shape)

    @property
    def is_whole(self) -> bool:
        """Return whether the column holds whole numbers."""
        return isinstance(self.field, Field) and self.field.shape == () and self.field.dtype.kind in "iu"

    def _learn_binary(self, first: Callable[[], Any], options: OpenOptions) -> None:
        value = self.scalar(first(), 0)
        try:
            sniff(value[:16] if value is not None else b"")
            self.start = bytes(value)
            self.field = Encoded("image", options.mode, options.orient)
        except BadFile:
            self.why = "bytes that are not images"

    def _learn_text(self, first: Callable[[], Any], options: OpenOptions, folder: str | None) -> None:
        try:
            value = self.scalar(first(), 0) if folder is not None else None
        except UnicodeDecodeError:  # not a path; raises where the text is read
            value = None
        if folder is not None and isinstance(value, str) and value.lower().endswith(SUFFIXES):
            self.field, self.folder = Encoded("image", options.mode, options.orient), folder
        else:
            self.is_text, self.why = True, "text that is not a label"

    def _learn_numbers(self, first: Callable[[], Any], kind: Any, shape: tuple[int, ...] | None) -> None:
        self.is_text_list = _is_list(kind) and is_text(kind.value_type)
        inner = kind
        while _is_list(inner):
            inner = inner.value_type
        try:
            dtype = np.dtype(inner.to_pandas_dtype())
        except (NotImplementedError, TypeError):
            dtype = np.dtype(object)
        if dtype.kind not in "biufmM":
            self.why = f"of type {inner}"
            return
        lengths = _fixed_lengths(kind)
        if lengths is None:
            lengths = self._lengths(first(), kind)
        if lengths is not None:
            self.field = Field(shape or tuple(lengths), dtype)

    def _lengths(self, values: Any, kind: Any) -> list[int] | None:
        """Return the length of the lists of each level of the first row, or set ``why`` and return None."""
        lengths: list[int] = []
        values = values.storage if hasattr(values, "storage") else values
        values = values.dictionary_decode() if hasattr(values, "dictionary_decode") else values
        while _is_list(kind):
            if values.null_count or not len(values):
                self.why = "variable-length lists"
                return None
            before = len(values)
            values = values.flatten()
            if len(values) % before:
                self.why = "lists of different lengths"
                return None
            lengths.append(len(values) // before)
            kind = kind.value_type
        return lengths

    def scalar(self, values: Any, i: int) -> Any:
        """Return one value as bytes or text, or None."""
        value = values[i]
        if self.in_struct:
            value = value["bytes"] if value.is_valid else value
        return value.as_py() if value.is_valid else None

    def put(self, values: Any, numbers: Sequence[int], into: Any, failed: dict[int, Exception]) -> None:
        """Write the values of an Arrow array into rows ``numbers`` of a field."""
        if isinstance(self.field, Field):
            self._put_numbers(values, numbers, into, failed)
        elif self.folder is not None:
            self._put_files(values, numbers, into, failed)
        else:
            self._put_bytes(values, numbers, into, failed)

    def _put_bytes(self, values: Any, numbers: Sequence[int], into: Any, failed: dict[int, Exception]) -> None:
        for k, i in enumerate(numbers):
            value = values[k]
            if self.in_struct and value.is_valid:
                value = value["bytes"]
            if not value.is_valid:
                failed[i] = BadFile(f"the column {self.name!r} has no value")
                continue
            buffer = value.as_buffer()
            try:
                into.put(i, buffer.size)[:] = memoryview(buffer).cast("B")
            except BitesizeError as error:
                failed[i] = error

    def _put_files(self, values: Any, numbers: Sequence[int], into: Any, failed: dict[int, Exception]) -> None:
        assert self.folder is not None
        files, of = [], []
        for k, i in enumerate(numbers):
            value = self.scalar(values, k)
            if value is None:
                failed[i] = BadFile(f"the column {self.name!r} has no value")
            else:
                files.append(os.fsencode(paths.join(self.folder, value)))
                of.append(i)
        found = read_files(files, lambda k, nbytes: into.put(of[k], nbytes))
        failed.update({of[k]: error for k, error in found.items()})

    def _put_numbers(self, values: Any, numbers: Sequence[int], into: Any, failed: dict[int, Exception]) -> None:
        assert isinstance(self.field, Field)
        shape, whole = self.field.shape, values
        if hasattr(whole, "storage"):
            whole = whole.storage
        if hasattr(whole, "dictionary_decode"):
            whole = whole.dictionary_decode()
        alike = True
        for length in shape if not hasattr(values, "storage") else (math.prod(shape),):
            if whole.null_count or not hasattr(whole, "flatten"):
                break
            alike = alike and _all_of(whole, length)
            whole = whole.flatten()
        if whole.null_count or not alike or len(whole) != len(numbers) * math.prod(shape):
            if len(numbers) > 1:  # one by one, so that a bad row does not affect others
                for k, i in enumerate(numbers):
                    self._put_numbers(values.slice(k, 1), [i], into, failed)
                return
            count = math.prod(shape)
            other = f"{len(whole)} values for {count}" if len(whole) != count else f"lists whose lengths differ from {shape}"
            seen = "no value" if whole.null_count else other
            failed[numbers[0]] = BadFile(f"the column {self.name!r} has {seen}")
            return
        made = whole.to_numpy(zero_copy_only=False).reshape(len(numbers), *shape)
        if len(numbers) == len(into) and list(numbers) == list(range(len(into))):
            into[...] = made
        else:
            into[list(numbers)] = made


def is_text(kind: Any) -> bool:
    """Return whether a type is text."""
    import pyarrow.types as kinds

    return bool(kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_string_view(kind))


def _is_list(kind: Any) -> bool:
    import pyarrow.types as kinds

    return bool(kinds.is_fixed_size_list(kind) or kinds.is_list(kind) or kinds.is_large_list(kind))


def _fixed_lengths(kind: Any) -> list[int] | None:
    """Return the length of the lists of each level, empty for numbers, or None if the type does not fix them."""
    import pyarrow.types as kinds

    lengths: list[int] = []
    while _is_list(kind):
        if not kinds.is_fixed_size_list(kind):
            return None
        lengths.append(kind.list_size)
        kind = kind.value_type
    return lengths


def _all_of(lists: Any, length: int) -> bool:
    """Return whether each list has this many values."""
    import pyarrow.compute as compute
    import pyarrow.types as kinds

    if kinds.is_fixed_size_list(lists.type):
        return bool(lists.type.list_size == length)
    bounds = compute.min_max(compute.list_value_length(lists)).as_py()
    return not len(lists) or bounds == {"min": length, "max": length}
