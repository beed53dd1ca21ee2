"""`Windows`: windows of consecutive rows of another source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile, BadRows, BadSetting
from bitesize.files.pread import read_rows
from bitesize.sources.base import Source
from bitesize.sources.protocol import ChunkStarts, Extents, Into, Located, raise_bad
from bitesize.sources.series.runs import Runs, regular
from bitesize.sources.series.targets import Ahead, Targets
from bitesize.sources.text_labels import check_room
from bitesize.spec import Field

# Windows of a chunk that are read together have this many times its bytes, so that decompressing costs less than copying.
_MORE_THAN_CHUNK = 4


class Windows(Source):
    """Windows of consecutive rows of another source; rows are read where they are, and windows are not kept.

    Parameters
    ----------
    base
        Source of the rows: the steps.
    runs
        First steps of the windows.
    length, rate
        Number of rows of a window, and steps from one of them to the next.
    targets
        Targets that are given, or None.
    ahead
        Targets that are values of later rows, or None.
    ends, names
        Number of steps up to the end of each recording, and names of the recordings; no names for a single array.
    refuse_missing
        Whether windows with missing values (NaN) are bad rows.

    Raises
    ------
    BadSetting
        If rows have no fixed size.
    """

    def __init__(
        self,
        base: Source,
        runs: Runs,
        length: int,
        rate: int,
        *,
        targets: Targets | None = None,
        ahead: Ahead | None = None,
        ends: NDArray[np.int64] | None = None,
        names: Sequence[str] = (),
        refuse_missing: bool = False,
    ) -> None:
        self.base, self._runs, self._length, self._rate = base, runs, length, rate
        self._targets, self._ahead, self._names = targets, ahead, tuple(names)
        self._ends = np.array([len(base)], np.int64) if ends is None else ends
        beside = (base.label_name, base.weight_name)
        self._fields = {name: _fixed(name, field) for name, field in base.spec.items() if name not in beside}
        if not self._fields:
            raise BadSetting(f"windows need data beside labels and weights, but {base!r} has none")
        self.spec = {name: Field((length, *field.shape), field.dtype) for name, field in self._fields.items()}
        target = targets.field if targets is not None else ahead.field if ahead is not None else None
        if target is not None:
            self.spec["y"] = target
        self._checked = [name for name in self.spec if refuse_missing and self.spec[name].dtype.kind in "fc"]
        self.classes = None if targets is None else targets.classes
        self.feature_names, self.reads_files = base.feature_names, base.reads_files
        self.target_names = None if ahead is None else ahead.names(base)

    @property
    def derived_from(self) -> tuple[Source, ...]:
        """The source of the rows."""
        return (self.base,)

    def __len__(self) -> int:
        return len(self._runs)

    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read windows, and their targets."""
        starts = self._runs.starts(rows)
        failed = self._read_windows(starts, {name: into[name] for name in self._fields if name in into})
        failed |= self._read_targets(rows, starts, into)
        for name in self._checked:
            if name in into:
                failed = self._missing(into[name], rows, name) | failed
        raise_bad(failed)

    def _read_windows(self, starts: NDArray[np.int64], into: Mapping[str, NDArray[Any]]) -> dict[int, Exception]:
        """Read the rows of windows; return the error of each window that could not be read."""
        rest = dict(into)
        if self.base.primary in into and (located := self._locate(starts)) is not None:
            out = rest.pop(self.base.primary)
            if located.array is None:
                read_rows(located.paths, located.which, located.offsets, out)
            else:
                flat = out.reshape(len(out), self._length, -1)
                for i, start in enumerate(located.offsets.tolist()):
                    flat[i] = located.array[start : start + self._length]
        return self._read_steps(starts[:, None] + self._offsets, rest) if rest else {}

    @property
    def _offsets(self) -> NDArray[np.int64]:
        return np.arange(self._length, dtype=np.int64) * self._rate

    @property
    def _last(self) -> int:
        """Distance from the first to the last step of a window."""
        return (self._length - 1) * self._rate

    def _read_steps(self, steps: NDArray[np.int64], into: Mapping[str, NDArray[Any]]) -> dict[int, Exception]:
        """Read rows of the base, shape (windows, steps), each once if many are needed several times."""
        numbers, each = steps.ravel(), steps.shape[1]
        flat = {name: out.reshape(len(numbers), *self.base.spec[name].shape) for name, out in into.items()}  # type: ignore[union-attr]
        if self.base.reads_by_chunk and numbers.size:
            once, places = np.unique(numbers, return_inverse=True)
            if 2 * len(once) <= len(numbers):
                read = {name: np.empty((len(once), *out.shape[1:]), out.dtype) for name, out in flat.items()}
                bad = _failed(self.base, once, read)
                for name, out in flat.items():
                    np.take(read[name], places, axis=0, out=out, mode="clip")
                return {i // each: bad[at] for i, at in enumerate(places.tolist()) if at in bad} if bad else {}
        return {i // each: error for i, error in _failed(self.base, numbers, flat).items()}

    def _read_targets(self, rows: NDArray[np.int64], starts: NDArray[np.int64], into: Into) -> dict[int, Exception]:
        """Read targets, if they are wanted."""
        if "y" not in into:
            return {}
        if self._targets is not None:
            self._targets.read(starts, self._runs.recordings(rows), into["y"])
        elif self._ahead is not None:
            field = self.base.spec[self._ahead.name]
            assert isinstance(field, Field)
            steps = starts[:, None] + (self._last + np.array(self._ahead.steps, np.int64))
            values = np.empty((*steps.shape, *field.shape), field.dtype)
            failed = self._read_steps(steps, {self._ahead.name: values})
            self._ahead.put(values, into["y"])
            return failed
        return {}

    def _missing(self, values: NDArray[Any], rows: NDArray[np.int64], name: str) -> dict[int, Exception]:
        """Return an error for each window with a value that is NaN."""
        flat = values.reshape(len(values), -1)
        with np.errstate(all="ignore"):
            suspected = np.flatnonzero(np.isnan(flat.sum(axis=1)))  # without an array of booleans for all values
        return {
            i: BadFile(
                f"{self.describe(int(rows[i]))}: {name} has missing values (NaN): missing='skip' leaves such windows out, missing='keep' keeps them"
            )
            for i in suspected.tolist()
            if np.isnan(flat[i]).any()
        }

    def read_other_fields(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read all fields except the primary one."""
        self.read(rows, {name: out for name, out in into.items() if name != self.primary})

    def locate(self, rows: NDArray[np.int64]) -> Located | None:
        """Return where windows are stored, if their values need no check."""
        if self._checked or self.primary != self.base.primary or self._length * self._rate == 0:
            return None
        located = self._locate(self._runs.starts(rows))
        if located is None or located.array is None:
            return located
        array = located.array  # windows overlap in it, so they have addresses instead of rows
        return Located([], located.which, array.ctypes.data + located.offsets * array.strides[0], in_memory=True)

    def _locate(self, starts: NDArray[np.int64]) -> Located | None:
        """Return where windows lie in files or in an array, if their rows are consecutive there."""
        if self._rate != 1 or not starts.size:
            return None
        located = self.base.locate(np.concatenate([starts, starts + self._last]))
        if located is None or located.header or (located.in_memory and located.array is None):
            return None
        count, field = len(starts), self._fields[self.base.primary]
        first, last = located.offsets[:count], located.offsets[count:]
        apart = self._last * (1 if located.array is not None else field.nbytes)
        if (last - first != apart).any():
            return None
        if located.array is None and (located.which[:count] != located.which[count:]).any():
            return None
        return located._replace(which=located.which[:count], offsets=first)

    def chunks(self) -> ChunkStarts | None:
        """Return windows that start in one chunk of the base, in parts of a few times its bytes."""
        chunks = self.base.chunks()
        if chunks is None or not len(self):
            return None
        at = np.unique(np.clip(self._runs.before(chunks.starts), 0, len(self)))
        edges = np.union1d(at, [0, len(self)])
        most = self._windows_of_chunk(chunks)
        return ChunkStarts(np.concatenate([*(np.arange(a, b, most) for a, b in pairwise(edges.tolist())), edges[-1:]]))

    def _windows_of_chunk(self, chunks: ChunkStarts) -> int:
        """Return the number of windows of a chunk that are read together."""
        return max(1, int(_MORE_THAN_CHUNK * np.diff(chunks.starts).max()) // self._length)

    @property
    def reads_by_chunk(self) -> bool:
        """Return whether the base is read by chunk, and chunks are longer than windows."""
        if not self.base.reads_by_chunk or (chunks := self.base.chunks()) is None:
            return False
        return self._windows_of_chunk(chunks) > _MORE_THAN_CHUNK

    def scratch(self, rows: int) -> int:
        """Return the bytes of numbers of steps, of rows that are read once, and of rows of targets."""
        row = sum(field.nbytes for field in self._fields.values())
        once = rows * self._length * row // 2 if self.base.reads_by_chunk else 0
        ahead = 0
        if self._ahead is not None:
            field, steps = self.base.spec[self._ahead.name], rows * len(self._ahead.steps)
            ahead = steps * (field.nbytes if isinstance(field, Field) else 0) * 2 + self.base.scratch(steps)
        return 48 * rows * self._length + once + ahead + self.base.scratch(rows * self._length)

    @property
    def nbytes(self) -> int:
        """Bytes of the base, of the runs, and of targets in memory."""
        targets = 0 if self._targets is None else self._targets.nbytes
        return self.base.nbytes + self._runs.nbytes + targets + self._ends.nbytes + sum(map(len, self._names))

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """Class number of each window."""
        if self._targets is None:
            return None
        rows = np.arange(len(self), dtype=np.int64)
        return self._targets.labels(self._runs.starts(rows), self._runs.recordings(rows))

    @property
    def column_names(self) -> tuple[str, ...]:
        """The fields, and ``recording`` if there are several."""
        return (*self.spec, *(["recording"] if len(self._names) > 1 else []))

    def column(self, name: str) -> NDArray[Any]:
        """Return the labels, or the name of the recording of each window."""
        if name == "recording" and len(self._names) > 1:
            check_room(4 * max(map(len, self._names)) * len(self), "the name of the recording of each window")
            return np.array(self._names)[self._runs.recordings(np.arange(len(self), dtype=np.int64))]
        labels = self.labels if name == "y" else None
        if labels is not None and self.classes is None:
            return labels
        return super().column(name)

    def extents(self, rows: NDArray[np.int64]) -> Extents:
        """Return the steps of windows, including those of targets that are values of later steps."""
        starts = self._runs.starts(rows)
        ahead = 0 if self._ahead is None else max(self._ahead.steps)
        return Extents(self._runs.recordings(rows), starts, starts + self._last + ahead)

    def describe(self, row: int) -> str:
        """Return the recording, and the steps in it."""
        rows = np.array([row], np.int64)
        start, recording = int(self._runs.starts(rows)[0]), int(self._runs.recordings(rows)[0])
        begin = int(self._ends[recording - 1]) if recording else 0
        of = f"{self._names[recording]}, " if self._names else ""
        return f"{of}steps {start - begin:,} to {start - begin + self._last:,}"

    def check_unchanged(self) -> None:
        """Check the base."""
        self.base.check_unchanged()

    def close(self) -> None:
        """Close the base."""
        self.base.close()

    def _identity(self) -> bytes:
        made = (self._length, self._rate, self._runs.stride, self._ahead)
        targets = b"" if self._targets is None else self._targets.identity()
        runs = self._runs.first.tobytes() + self._runs.count.tobytes() + self._runs.recording.tobytes()
        return b"\0".join([self.base.fingerprint().encode(), repr(made).encode(), runs, targets])

    @classmethod
    def example(cls, folder: Path, rows: int) -> Source:
        """Make windows of three steps of random numbers."""
        from bitesize.sources.arrays import Arrays

        steps = np.random.default_rng(0).random((rows + 2, 4))
        return cls(Arrays(steps), regular(0, rows, 1, 0), 3, 1)


def _fixed(name: str, field: Any) -> Field:
    """Return a field of fixed size."""
    if not isinstance(field, Field):
        raise BadSetting(
            f"windows need rows of one shape, but {name!r} is {field}: decode the images first, bs.pack(source, FOLDER, transforms=[bs.Resize(64)]), "
            "and open the packed folder"
        )
    return field


def _failed(source: Source, rows: NDArray[np.int64], into: Into) -> dict[int, Exception]:
    """Read rows; return the error of each row that could not be read."""
    try:
        source.read(rows, into)
    except BadRows as error:
        return dict(error.causes)
    return {}
