"""Runs that are held in memory while an order with a window draws rows from them."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.engine.schedule import Due, Schedule, resident_rows
from bitesize.engine.steps import Step, Steps
from bitesize.errors import BadRows, BadSetting, BitesizeError, FileChanged, LoaderClosed, without_frames
from bitesize.files.pread import compiled
from bitesize.memory.mapping import aligned, allocate
from bitesize.sources.base import Into, Located, Runs, Source, portion, raise_bad
from bitesize.spec import Encoded, Field

_PAGE = 4096


class Windowed(Source):
    """A source of which runs are held in memory: rows are copied from there, and read from it only where they are not.

    Parameters
    ----------
    base
        Where rows come from.
    runs
        Which rows it reads at once.
    """

    reads_files = True

    def __init__(self, base: Source, runs: Runs) -> None:
        self._base = base
        self._runs = runs
        self.spec, self.classes, self.left_out = base.spec, base.classes, base.left_out
        self._largest = int(np.diff(runs.starts).max())
        self._thread = threading.local()
        if any(isinstance(what, Encoded) for what in self.spec.values()) and runs.nbytes is None:
            raise BadSetting(f"{base!r} does not tell the bytes of its runs, so no memory can be set aside for a window")

    def __len__(self) -> int:
        return len(self._base)

    def using(self, held: Held | None) -> None:
        """Let this thread read from what is held for the batch that it works on."""
        self._thread.held = held

    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Copy rows of runs that are in memory; read others."""
        held: Held | None = getattr(self._thread, "held", None)
        if held is None:
            self._base.read(rows, into)
        else:
            held.read(rows, into)

    def locate(self, rows: NDArray[np.int64]) -> Located | None:
        """Tell where rows are in memory, if all of them are."""
        held: Held | None = getattr(self._thread, "held", None)
        return None if held is None else held.locate(rows)

    def read_beside(self, rows: NDArray[np.int64], into: Into) -> None:
        """Copy all fields but ``x`` of rows that are in memory."""
        self.read(rows, into)

    def scratch(self, rows: int) -> int:
        """Tell what reading a run takes, which is more than a few rows do."""
        return self._base.scratch(max(rows, self._largest))

    @property
    def nbytes(self) -> int:
        """Bytes of the base."""
        return self._base.nbytes

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """Class numbers of the base."""
        return self._base.labels

    @property
    def class_count(self) -> int | None:
        """Count the classes of the base."""
        return self._base.class_count

    def describe(self, row: int) -> str:
        """Name the row as the base does."""
        return self._base.describe(row)

    def _identity(self) -> bytes:
        return self._base.fingerprint().encode()

    def run_nbytes(self) -> NDArray[np.int64]:
        """Tell the bytes that each run takes in memory."""
        rows = np.diff(self._runs.starts)
        total = np.zeros(len(rows), np.int64) if self._runs.nbytes is None else self._runs.nbytes + 64
        for what in self.spec.values():
            if isinstance(what, Field):
                total = total + -(-rows * what.nbytes // 64) * 64
        return -(-total // _PAGE) * _PAGE

    def window_nbytes(self, steps: Steps) -> int:
        """Bound the bytes of all runs that are in memory at a time; and the tables of where they are."""
        nbytes = self.run_nbytes()
        densest = float((nbytes / np.diff(self._runs.starts)).max())
        return min(int(resident_rows(steps) * densest) + 1, int(nbytes.sum())) + 8 * len(nbytes) * (2 + len(self.spec))


class Frames:
    """Memory for runs, up to so many bytes; what is given back serves runs of the same size again.

    Parameters
    ----------
    nbytes
        All bytes there are.
    """

    def __init__(self, nbytes: int) -> None:
        self.changed = threading.Condition()  # held by callers
        self._left = nbytes
        self._idle: dict[int, list[NDArray[np.uint8]]] = {}
        self._closed = False

    def take(self, nbytes: int) -> NDArray[np.uint8] | None:
        """Give memory, or None while there is too little."""
        if self._idle.get(nbytes):
            return self._idle[nbytes].pop()
        for size, frames in self._idle.items():
            while frames and self._left < nbytes:
                frames.pop()
                self._left += size
        if self._left < nbytes:
            return None
        self._left -= nbytes
        return allocate(nbytes)

    def give(self, frame: NDArray[np.uint8]) -> None:
        """Take memory back."""
        if not self._closed:
            self._idle.setdefault(frame.nbytes, []).append(frame)
        self.changed.notify_all()

    def close(self) -> None:
        """Let go of all memory, now or when it is given back."""
        with self.changed:
            self._closed = True
            self._idle = {}


class HeldRun:
    """A run in memory, or on its way there."""

    __slots__ = ("error", "failed", "fields", "files", "frame", "left", "number", "start", "there")

    def __init__(self, number: int, start: int, uses: int) -> None:
        self.number, self.start, self.left = number, start, uses
        self.there = False  # read, or found impossible
        self.frame: NDArray[np.uint8] | None = None
        self.fields: dict[str, NDArray[Any]] = {}
        self.files: dict[str, dict[int, memoryview]] = {}
        self.failed: Mapping[int, Exception] = {}
        self.error: BaseException | None = None


class Held:
    """The runs that one sequence of batches has in memory.

    Threads `enter` before they read from it and `leave` when they have; what nobody will ask for any more goes then.

    Parameters
    ----------
    source
        Where runs are read.
    steps, place
        Which batches come, from which place on.
    frames
        Memory for the runs.
    """

    def __init__(self, source: Windowed, steps: Steps, place: tuple[int, int], frames: Frames) -> None:
        self._source, self._frames, self._changed = source, frames, frames.changed
        self._schedule = Schedule(steps, *place)
        self._starts = source._runs.starts
        self._sizes = source.run_nbytes()
        self._runs: dict[int, HeldRun] = {}
        self._fixed = {name: what for name, what in source.spec.items() if isinstance(what, Field)}
        # Where each run's rows of a field begin in memory; 0 for those that are not there.
        self._places = {name: np.zeros(len(self._sizes), np.int64) for name in self._fixed}
        self._active = self._waiting = 0
        self._closed = False

    # --- what is to come ---------------------------------------------------------------------------------------------

    def due(self, step: Step) -> list[HeldRun]:
        """Tell which runs are to be read before the next batch, by `load`, in this order."""
        return self._expect(self._schedule.due(step))

    def _expect(self, due: Sequence[Due]) -> list[HeldRun]:
        new = []
        with self._changed:
            for number, uses in due:
                run = self._runs.get(number)
                if run is not None:
                    run.left += uses
                elif not self._closed:
                    run = self._runs[number] = HeldRun(number, int(self._starts[number]), uses)
                    new.append(run)
        return new

    def load(self, run: HeldRun) -> None:
        """Read a run into memory; who calls has entered, and has left afterwards."""
        try:
            frame = self._room(int(self._sizes[run.number]))
            if frame is not None:
                run.frame = frame
                self._read_run(run, frame)
        except BaseException as error:  # noqa: BLE001 - it belongs to those who ask for the rows
            run.error = without_frames(error)
        finally:
            with self._changed:
                run.there = True
                if run.frame is not None and run.error is None:
                    for name, array in run.fields.items():
                        self._places[name][run.number] = array.ctypes.data
            self.leave(np.empty(0, np.int64))

    def _room(self, nbytes: int) -> NDArray[np.uint8] | None:
        """Wait for memory until those who read have done with theirs; None if nobody is left who could."""
        with self._changed:
            while not self._closed:
                frame = self._frames.take(nbytes)
                if frame is not None:
                    return frame
                if self._waiting + 1 >= self._active:
                    return None
                self._wait()
        return None

    def _wait(self) -> None:
        """Wait for others; who waits for memory must know when all do."""
        self._waiting += 1
        if self._waiting >= self._active:
            self._changed.notify_all()
        self._changed.wait()
        self._waiting -= 1

    def _read_run(self, run: HeldRun, frame: NDArray[np.uint8]) -> None:
        stop = int(self._starts[run.number + 1])
        rows = np.arange(run.start, stop, dtype=np.int64)
        into: dict[str, Any] = {}
        at = 0
        for name, field in self._fixed.items():
            nbytes = len(rows) * field.nbytes
            run.fields[name] = into[name] = frame[at : at + nbytes].view(field.dtype).reshape(len(rows), *field.shape)
            at += aligned(nbytes)
        rest = _Rest(frame[at:], self._source, run.start)
        for name in self._source.spec:
            if name not in self._fixed:
                into[name] = _Files(rest)
                run.files[name] = into[name].files
        try:
            self._source._base.read(rows, into)
        except BadRows as error:
            run.failed = {i: without_frames(cause) for i, cause in error.causes.items()}

    # --- what is asked for -------------------------------------------------------------------------------------------

    def enter(self) -> None:
        """Begin to use what is held."""
        with self._changed:
            self._active += 1

    def leave(self, rows: NDArray[np.int64]) -> None:
        """End that, with so many rows used up that were expected; what nobody expects goes."""
        with self._changed:
            self._active -= 1
            if rows.size and not self._closed:
                for number, uses in zip(*np.unique(self._numbers(rows), return_counts=True), strict=True):
                    run = self._runs.get(int(number))
                    if run is not None:
                        run.left -= int(uses)
                        if run.left <= 0 and run.there:
                            self._drop(run)
            if self._closed and not self._active:
                self._drop_all()
            self._changed.notify_all()

    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Copy rows; see `Source.read`."""
        numbers = self._numbers(rows)
        runs = self._wait_for(np.unique(numbers).tolist())
        failed: dict[int, Exception] = {}
        whole = all(run is not None for run in runs.values())
        if not whole or self._fixed.keys() != self._source.spec.keys() or compiled() is None:
            for i, number in enumerate(numbers.tolist()):
                self._copy_one(rows, i, runs[number], into, failed)
        else:
            within = rows - self._starts[numbers]
            for name, places in self._places.items():
                if name in into:
                    out = into[name].reshape(len(rows), -1).view(np.uint8)
                    compiled().copy_rows(places[numbers] + within * self._fixed[name].nbytes, out)
        if any(run is not None and run.failed for run in runs.values()):
            for i, number in enumerate(numbers.tolist()):
                run = runs[number]
                cause = run.failed.get(int(rows[i]) - run.start) if run is not None else None
                if cause is not None:
                    failed[i] = cause
        raise_bad(failed)

    def locate(self, rows: NDArray[np.int64]) -> Located | None:
        """Tell where rows are in memory; None if one of them is not, or could not be read."""
        numbers = self._numbers(rows)
        runs = self._wait_for(np.unique(numbers).tolist())
        if "x" not in self._fixed or any(run is None or run.failed for run in runs.values()):
            return None
        places = self._places["x"][numbers] + (rows - self._starts[numbers]) * self._fixed["x"].nbytes
        return Located([], numbers, places, in_memory=True)

    def _copy_one(
        self, rows: NDArray[np.int64], i: int, run: HeldRun | None, into: Into, failed: dict[int, Exception]
    ) -> None:  # fmt: skip
        """Copy one row of a call, or read it where its run is not in memory."""
        if run is None:
            try:
                self._source._base.read(rows[i : i + 1], portion(into, i, 1))
            except BadRows as error:
                failed[i] = error.causes[0]
            return
        at = int(rows[i]) - run.start
        if at in run.failed:
            return
        for name, array in run.fields.items():
            if name in into:
                into[name][i] = array[at]
        try:
            for name, files in run.files.items():
                into[name].put(i, files[at].nbytes)[:] = files[at]
        except BitesizeError as error:
            failed[i] = error

    def _wait_for(self, numbers: list[int]) -> dict[int, HeldRun | None]:
        """Give the runs by number, when those that are being read have been; None for one that is not in memory."""
        with self._changed:
            runs = {number: self._runs.get(number) for number in numbers}
            for run in runs.values():
                while run is not None and not run.there and not self._closed:
                    self._wait()
            if self._closed:
                raise LoaderClosed("nobody waits for these rows any more")
        for run in runs.values():
            if run is not None and run.error is not None:
                raise run.error
        return {number: run if run is not None and run.frame is not None else None for number, run in runs.items()}

    def _numbers(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.searchsorted(self._starts, rows, side="right") - 1

    # --- the end -----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Give all up, as soon as nobody uses it."""
        with self._changed:
            self._closed = True
            if not self._active:
                self._drop_all()
            self._changed.notify_all()

    def _drop_all(self) -> None:
        for run in list(self._runs.values()):
            self._drop(run)

    def _drop(self, run: HeldRun) -> None:
        del self._runs[run.number]
        run.fields, run.files = {}, {}
        frame, run.frame = run.frame, None
        if frame is not None:
            self._frames.give(frame)


class _Rest:
    """What is left of a frame, handed out piece by piece."""

    def __init__(self, memory: NDArray[np.uint8], source: Source, row: int) -> None:
        self._view = memoryview(memory)  # type: ignore[arg-type]
        self._at = 0
        self._source, self._row = source, row

    def take(self, i: int, nbytes: int) -> memoryview:
        """Give the next ``nbytes`` to row ``i`` of the run."""
        if nbytes > len(self._view) - self._at:
            raise FileChanged(
                f"{self._source.describe(self._row + i)} has {nbytes:,} bytes, and all rows that lie together with it were to "
                f"take {len(self._view):,}: the file has changed"
            )
        view = self._view[self._at : self._at + nbytes]
        self._at += nbytes
        return view


class _Files:
    """Where a source puts the encoded rows of one field of a run."""

    def __init__(self, rest: _Rest) -> None:
        self._rest = rest
        self.files: dict[int, memoryview] = {}

    def put(self, i: int, nbytes: int) -> memoryview:
        """Give the buffer of a row."""
        view = self.files[i] = self._rest.take(i, nbytes)
        return view
