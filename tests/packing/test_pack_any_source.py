"""Any source of any fields, cut into shards in any way, comes back row for row."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.properties import examples

import bitesize as bs
from bitesize.packing.pieces import good_stretches, spans
from bitesize.packing.verify import damaged_shards
from bitesize.sources.protocol import raise_bad
from bitesize.spec import Encoded, Field
from bitesize.testing import read_rows

DTYPES = ["u1", "i1", "?", "<i2", ">i4", "<u8", "<f2", "<f4", "<f8", "<c8", "<M8[s]", "<m8[ms]"]
shapes = st.lists(st.integers(0, 4), max_size=3).map(tuple)
fields = st.one_of(
    st.builds(Field, shapes, st.sampled_from(DTYPES).map(lambda text: np.dtype(text).newbyteorder("="))),
    st.builds(Encoded, st.sampled_from(["image", "mask"])),
)


class AnySource(bs.Source):
    """Rows of random bytes, some of which cannot be read."""

    title = "rows of random bytes"

    def __init__(self, spec, rows, seed, bad, most):
        self.spec, self._rows, self._bad = spec, rows, bad
        draw = np.random.default_rng(seed)
        self._values = {}
        for name, field in spec.items():
            if isinstance(field, Encoded):
                self._values[name] = [draw.bytes(int(n)) for n in draw.integers(0, most, rows)]
            elif field.dtype.kind == "b":
                self._values[name] = draw.integers(0, 2, (rows, *field.shape)).astype(bool)
            else:
                data = draw.integers(0, 100, (rows, *field.shape))
                self._values[name] = data.astype(field.dtype)

    def __len__(self):
        return self._rows

    def read(self, rows, into):
        failed = {i: bs.BadFile(f"row {row} is bad") for i, row in enumerate(rows.tolist()) if row in self._bad}
        for name in self.spec:
            if name not in into:
                continue
            for i, row in enumerate(rows.tolist()):
                if i in failed:
                    continue
                value = self._values[name][row]
                if isinstance(into[name], np.ndarray):
                    into[name][i] = value
                else:
                    try:
                        into[name].put(i, len(value))[:] = value
                    except bs.BitesizeError as error:
                        failed[i] = error
        raise_bad(failed)

    def _identity(self):
        return b"any"


@examples(200)
@given(
    spec=st.dictionaries(st.text(max_size=5), fields, min_size=1, max_size=4),
    rows=st.integers(1, 60),
    seed=st.integers(0, 2**32),
    bad=st.sets(st.integers(0, 59), max_size=5),
    most=st.sampled_from([1, 30, 3000]),
    shard_size=st.sampled_from([1, 50, 700, None]),
    threads=st.integers(1, 3),
)
def test_rows_come_back(spec, rows, seed, bad, most, shard_size, threads):
    source = AnySource(spec, rows, seed, bad, most)
    good = [row for row in range(rows) if row not in bad]
    folder = Path(tempfile.mkdtemp())
    try:
        settings = {"kind": "bytes", "memory": "16 MiB", "shard_size": shard_size, "threads": threads}
        if not good:
            with pytest.raises(bs.PackedError, match="no row"):
                bs.pack(source, folder / "packed", on_error="skip", max_bad=1.0, **settings)
            return
        report = bs.pack(source, folder / "packed", on_error="skip", max_bad=1.0, **settings)
        assert [row.row for row in report.skipped.get("", ())] == sorted(bad & set(range(rows)))
        packed = bs.open(folder / "packed", fields=list(spec))
        assert dict(packed.spec) == dict(source.spec)
        assert packed.primary == source.primary
        numbers = np.random.default_rng(seed).permutation(len(good))
        assert read_rows(packed, numbers) == read_rows(source, np.array(good)[numbers])
        assert damaged_shards(folder / "packed") == []
    finally:
        shutil.rmtree(folder)


@given(st.integers(0, 30), st.sets(st.integers(0, 29)))
def test_stretches_cover_every_row_once(count, bad):
    bad = {i for i in bad if i < count}
    covered = []
    for part in good_stretches(count, dict.fromkeys(bad)):
        if isinstance(part, slice):
            rows = list(range(count))[part]
            assert rows
            assert not bad & set(rows)
            covered += rows
        else:
            assert part in bad
            covered.append(part)
    assert covered == list(range(count))


@given(st.integers(0, 50), st.integers(0, 50), st.integers(1, 9), st.sets(st.integers(1, 99)))
def test_spans_never_cross_the_start_of_a_chunk(start, length, rows, cuts):
    stop = start + length
    starts = np.array(sorted({0, *cuts, 100}))
    found = list(spans(start, stop, rows, starts))
    assert [row for span in found for row in span.tolist()] == list(range(start, stop))
    for span in found:
        assert 1 <= len(span) <= rows
        assert not set(span[1:].tolist()) & set(starts.tolist())
