"""Batches that a program keeps: what may be kept, what is charged for it, and what is said where all slots are held."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import bitesize as bs
from bitesize.engine.loader import driver_of

ROWS, BATCH = 60, 4


def make_loader(**settings):
    x = np.arange(ROWS * 30, dtype=np.float32).reshape(ROWS, 30)
    source = bs.zip(
        bs.open(x, np.arange(ROWS)),
        w=bs.open(np.arange(ROWS, dtype=np.float32)),
        small=bs.open(np.arange(ROWS * 8.0).reshape(ROWS, 8)),
        large=bs.open(np.arange(ROWS * 9.0).reshape(ROWS, 9)),
    )
    return bs.Loader(source, batch_size=BATCH, memory="16 MiB", shuffle=False, **settings)


def test_labels_and_other_small_fields_of_whole_epochs_can_be_kept():
    with make_loader() as loader:
        assert driver_of(loader).copied == {"y", "w", "small"}
        kept = [(batch["y"], batch["w"], batch["small"][1:], batch.rows, batch.mask) for _ in range(3) for batch in loader]
        y, w, small, rows, mask = map(np.concatenate, zip(*kept, strict=True))
    assert y.tolist() == w.tolist() == rows.tolist() == [*range(ROWS)] * 3
    assert mask.all()
    assert small[:3, 0].tolist() == [8, 16, 24]


@pytest.mark.parametrize("name", ["x", "large"])
def test_the_primary_input_and_large_fields_are_lent(name):
    with make_loader() as loader:
        with pytest.raises(bs.BatchesHeld, match=r"fields of up to 64 bytes per row need no copy, except the primary input"):
            _ = [batch[name] for batch in loader]
        assert len([batch[name].copy() for batch in loader]) == ROWS // BATCH


def test_a_small_primary_input_is_lent():
    with bs.Loader(bs.open(np.arange(60.0)), batch_size=4, memory="16 MiB") as loader, pytest.raises(bs.BatchesHeld):
        list(loader)


def test_copies_of_small_fields_are_charged_with_their_slots():
    x = np.zeros((1000, 8), np.float32)
    with (
        bs.Loader(bs.open(x), batch_size=100, memory="16 MiB", threads=1) as plain,
        bs.Loader(bs.open(x, np.zeros((1000, 8))), batch_size=100, memory="16 MiB", threads=1) as labeled,
    ):
        slots = [{part.name: part.nbytes for part in loader.plan.parts}["batch buffers"] for loader in (plain, labeled)]
        assert slots[1] - slots[0] >= 3 * 2 * 6400
        assert labeled.budget.in_use >= plain.budget.in_use + 3 * 2 * 6400


def test_rows_that_sit_out_are_said_in_the_plan_the_repr_and_once_in_the_log(caplog):
    caplog.set_level("INFO", "bitesize")
    data, said = bs.open(np.zeros((540, 4))), "28 of 540 rows are unused in each epoch (different rows each time)"
    for rank in range(2):
        with bs.Loader(data, batch_size=32, memory="16 MiB", shard=bs.Shard(rank, 2)) as loader:
            assert said in str(loader.plan)
            assert 'last="pad" keeps them' in str(loader.plan)
            assert "28 rows unused in each epoch" in repr(loader)
            assert sum(batch.mask.sum() for batch in loader) * 2 == 540 - 28
    assert len([line for line in caplog.messages if said in line]) == 1
    with bs.Loader(data, batch_size=32, memory="16 MiB") as loader:
        assert "unused" not in str(loader.plan) + repr(loader)


def test_in_a_notebook_the_outputs_and_names_that_keep_batches_are_named(tmp_path):
    pytest.importorskip("IPython")
    program = """
        import sys
        from IPython.core.interactiveshell import InteractiveShell
        shell = InteractiveShell.instance()
        def cell(text):
            found = shell.run_cell(text, store_history=True).error_in_exec
            sys.stderr.write(f"{type(found).__name__}: {found}\\n")
        cell("import numpy as np, bitesize as bs")
        cell("loader = bs.Loader(bs.open(np.zeros((90, 50)), np.arange(90)), batch_size=9, memory='16 MiB', threads=1)")
        cell("b = next(iter(loader)); b")
        cell("kept = [next(iter(loader))['x']]")
        cell("for batch in loader: pass")
        cell("%xdel _3")
        cell("del kept, batch")
        cell("for batch in loader: pass")
        cell("ys = [batch['y'] for batch in loader]; len(ys)")
        cell("c = next(iter(loader)); c")
        cell("next(iter(loader))")
        cell("for batch in loader: pass")
        cell("%xdel _10")
        cell("%xdel _11")
        cell("del batch")
        cell("for batch in loader: pass")
        cell("loader.close()")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True, text=True, check=False, timeout=100, env={**os.environ, "IPYTHONDIR": str(tmp_path)},
    )  # fmt: skip
    said = [line.partition(":") for line in done.stderr.splitlines() if line.startswith(("NoneType:", "BatchesHeld:"))]
    kinds = ["NoneType"] * 4 + ["BatchesHeld"] + ["NoneType"] * 6 + ["BatchesHeld"] + ["NoneType"] * 5
    assert [kind for kind, _, _ in said] == kinds, done.stderr
    assert "kept by Out[10], Out[11] (`%xdel _10`, `%xdel _11`, each in a cell of its own, delete them" in said[11][2]
    assert "and batch (`del batch`)" in said[11][2]
    assert "kept by Out[3] (`%xdel _3` deletes it and its other names) and kept, batch (`del kept, batch`)" in said[4][2]
