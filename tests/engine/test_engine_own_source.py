"""The loader over a source that a user wrote: what it does wrong is said, and nothing hangs."""

import threading

import numpy as np
import pytest

import bitesize as bs
from bitesize.engine import workers


class Squares(bs.Source):
    """Row i is i squared; row 13 does what the test wants."""

    def __init__(self, at_13=lambda: None):
        self.spec = {"x": bs.Field((), np.dtype("i8"))}
        self.at_13 = at_13

    def __len__(self):
        return 40

    def _identity(self):
        return b"squares"

    def read(self, rows, into):
        if 13 in rows:
            self.at_13()
        into["x"][...] = rows**2


def _loader(source, **options):
    return bs.Loader(source, batch_size=4, memory="8 MiB", shuffle=False, threads=2, **options)


def test_it_is_batched_cast_and_shuffled_like_any_other():
    with bs.Loader(Squares(), batch_size=7, memory="8 MiB", dtype="float32", transforms=[bs.Scale(0.5)]) as loader:
        values = np.concatenate([batch["x"].copy() for batch in loader])
        assert np.array_equal(values, loader.order.rows(0, 0, 40) ** 2 / 2)


def test_an_unexpected_error_arrives_with_its_traceback_and_where_it_was():
    def fail():
        raise KeyError("lost")

    with _loader(Squares(fail)) as loader:
        for _ in range(2):  # the loader can be used again
            seen = 0
            with pytest.raises(KeyError, match="lost") as caught:
                for _batch in loader:
                    seen += 1
            assert seen == 3
            assert any(entry.name == "fail" for entry in caught.traceback)
            assert "reading from row 12 (epoch 0)" in caught.value.__notes__[0]


def test_a_read_that_hangs_is_said_with_stage_and_row(monkeypatch):
    monkeypatch.setattr(workers, "STALL_SECONDS", 0.4)
    event = threading.Event()
    with _loader(Squares(lambda: event.wait(20))) as loader:
        with pytest.raises(bs.Stalled, match=r"position 12 of epoch 0; threads are at: .*reading from row 12"):
            for _ in loader:
                pass
        event.set()


def test_closing_while_threads_are_busy_ends_them():
    for _ in range(30):
        loader = _loader(Squares())
        iterator = iter(loader)
        next(iterator)
        loader.close()
    assert loader.budget.granted == 0 or loader.budget.in_use == 0


@pytest.mark.parametrize(("old", "new"), [("main", "primary"), ("runs", "chunks"), ("read_beside", "read_other_fields")])
def test_a_source_that_defines_a_member_by_its_former_name_is_refused(old, new):
    with pytest.raises(bs.BadSetting, match=f"Own.{old} is called {new} now"):
        type("Own", (bs.Source,), {old: property(lambda self: "x")})
