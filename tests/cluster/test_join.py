"""Training by torchrun and jax.distributed: the losses of one process, also when ranks are killed and their number changes."""

from __future__ import annotations

import shutil
import signal

import pytest

from tests.cluster.rank_runs import (
    BACKENDS,
    FULL,
    Unbroken,
    end,
    finished,
    kill,
    losses,
    printed,
    ranks,
    same,
    start,
    torchrun,
    wait_for_epoch,
    words,
)

pytest.importorskip("torch", reason="torchrun is a part of torch")
pytestmark = [pytest.mark.slow, pytest.mark.ranks, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module", autouse=True)
def unbroken(place):
    return Unbroken(place)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("count", [3])
def test_any_number_of_ranks_has_the_losses_of_one_process(place, unbroken, backend, count):
    out = f"{backend}-{count}"
    text = finished(start(place, backend, *torchrun(count, out)))
    assert same(losses(place / out), unbroken(backend))
    assert f"ranks: {count} processes on 1 machine share each batch of 12 rows" in text
    assert text.count(f"saved in {out}") == 1
    assert "are left out (a smaller --batch-size leaves out fewer)" in " ".join(text.split())


@pytest.mark.parametrize("backend", BACKENDS if FULL else ["jax"])
def test_a_killed_rank_is_started_again_and_training_goes_on(place, unbroken, backend):
    out = f"killed-{backend}"
    process = start(place, backend, *torchrun(2, out, restarts=2))
    wait_for_epoch(process, place / out, 20)
    kill(ranks(process, "bitesize train")[-1])
    text = finished(process)
    assert "The processes were started again (1)." in text
    assert "Continuing the interrupted run" in text
    assert same(losses(place / out), unbroken(backend))


@pytest.mark.parametrize("backend", BACKENDS if FULL else ["torch"])
def test_one_three_and_two_ranks_train_one_after_another(place, unbroken, backend):
    out = f"changed-{backend}"
    for count, epochs in ((1, 12), (3, 30)):
        process = start(place, backend, *(torchrun(count, out) if count > 1 else ["bitesize", *words(out)]))
        wait_for_epoch(process, place / out, epochs)
        end(process)
    assert "Continuing the interrupted run" in finished(start(place, backend, *torchrun(2, out)))
    assert same(losses(place / out), unbroken(backend))


@pytest.mark.parametrize("backend", BACKENDS if FULL else ["torch"])
def test_ctrl_c_saves_on_all_ranks_together(place, unbroken, backend):
    out = f"stopped-{backend}"
    process = start(place, backend, *torchrun(2, out))
    wait_for_epoch(process, place / out, 20)
    process.send_signal(signal.SIGINT)
    process.wait(60)
    text = printed(process)
    end(process)
    assert text.count("Interrupted.") == 1, text[-3000:]
    finished(start(place, backend, *torchrun(2, out, "--resume")))
    assert same(losses(place / out), unbroken(backend))


@pytest.mark.parametrize("backend", BACKENDS if FULL else ["torch"])
def test_a_rank_that_stops_to_answer_ends_the_training(place, backend):
    out = f"silent-{backend}"
    process = start(place, backend, *torchrun(2, out), minutes="0.2")
    wait_for_epoch(process, place / out, 10)
    follower = ranks(process, "bitesize train")[-1]
    follower.suspend()
    try:
        assert process.wait(200) != 0
    finally:
        end(process)
    assert "does not answer" in printed(process) or "JAX distributed service detected fatal errors" in printed(process)


def test_other_data_on_a_rank_is_an_error(place):
    other = place / "elsewhere"
    shutil.copytree(place / "data", other / "data")
    (other / "data" / "a" / "000.npy").unlink()
    shutil.copy(place / "model.py", other)
    (place / "other.py").write_text(
        "import os, runpy, sys\n"
        "if os.environ['RANK'] == '1':\n"
        "    os.chdir('elsewhere')\n"
        "runpy.run_module('bitesize', run_name='__main__')\n"
    )
    command = torchrun(2, "differs")
    command[command.index("-m")] = "other.py"
    command.remove("bitesize")
    process = start(place, "torch", *command)
    assert process.wait(120) != 0
    end(process)
    text = " ".join(printed(process).split())
    assert "error: the data differ between ranks: 53 rows for rank 0" in text
    assert "52 rows for rank 1" in text


def test_an_error_of_all_ranks_is_printed_once(place):
    command = torchrun(3, "few")
    command[command.index("--batch-size") + 1] = "2"
    process = start(place, "torch", *command)
    assert process.wait(120) != 0
    end(process)
    errors = [line for line in printed(process).splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, errors
    assert "--batch-size 2 is divided among 3 ranks" in errors[0]
