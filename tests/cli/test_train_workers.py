"""`bitesize train --workers`: Ray trains, and what is printed and saved is that of one process."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from tests.cluster.rank_runs import (
    BACKENDS,
    EPOCHS,
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
    wait_for_epoch,
    words,
)

pytest.importorskip("ray", reason="ray is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.ranks, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("workers")


@pytest.fixture(scope="module", autouse=True)
def unbroken(place):
    return Unbroken(place)


@pytest.mark.parametrize("backend", BACKENDS)
def test_two_workers_have_the_losses_and_the_folder_of_one_process(place, unbroken, backend):
    out = f"two-{backend}"
    text = finished(start(place, backend, "bitesize", *words(out, "--workers", 2)))
    assert same(losses(place / out), unbroken(backend))
    assert "ranks: 2 processes on 1 machine share each batch of 12 rows" in text
    assert text.count(f"saved in {out}") == 1
    names = {path.name for path in (place / f"one-{backend}").iterdir()} - {"evaluation.json"}  # `bitesize report` adds it
    assert {path.name for path in (place / out).iterdir()} == names
    assert f"report {out} adds the results" in (place / out / "report.html").read_text(encoding="utf-8")
    config = json.loads((place / out / "config.json").read_text())
    assert "--workers 2" in config["command"]


@pytest.mark.parametrize("backend", BACKENDS if FULL else ["jax"])
def test_a_killed_worker_is_started_again_and_training_goes_on(place, unbroken, backend):
    out = f"killed-{backend}"
    process = start(place, backend, "bitesize", *words(out, "--workers", 2))
    wait_for_epoch(process, place / out, 20)
    kill(ranks(process, "RayTrainWorker")[-1])
    text = finished(process)
    assert "The processes were started again (1)." in text
    assert "Continuing the interrupted run" in text
    assert same(losses(place / out), unbroken(backend))


@pytest.mark.parametrize("backend", BACKENDS if FULL else ["torch"])
def test_one_process_and_workers_continue_each_other(place, unbroken, backend):
    out = f"changed-{backend}"
    process = start(place, backend, "bitesize", *words(out))
    wait_for_epoch(process, place / out, 25)
    end(process)
    process = start(place, backend, "bitesize", *words(out, "--workers", 2))
    wait_for_epoch(process, place / out, 35)
    process.send_signal(signal.SIGINT)
    assert process.wait(90) == 130, printed(process)[-3000:]
    assert printed(process).count("Interrupted.") == 1
    end(process)
    finished(start(place, backend, "bitesize", *words(out, "--resume")))
    assert same(losses(place / out), unbroken(backend))


@pytest.mark.skipif(os.environ.get("BITESIZE_TESTS") != "full", reason="Ray needs two minutes to give a silent worker up")
def test_a_worker_that_stops_to_answer_is_replaced(place, unbroken):
    out = "silent"
    process = start(place, "torch", "bitesize", *words(out, "--workers", 2), minutes="0.2")
    expected = unbroken("torch")
    wait_for_epoch(process, place / out, 10)
    ranks(process, "RayTrainWorker")[-1].suspend()
    assert "The processes were started again (1)." in finished(process, 400)
    assert same(losses(place / out), expected)


def test_a_cluster_that_is_lost_ends_the_command_and_the_next_one_goes_on(place, unbroken):
    out, expected = "lost", unbroken("jax")
    with head() as address:
        process = start(place, "jax", "bitesize", *words(out, "--workers", 2, "--address", address))
        wait_for_epoch(process, place / out, 20)
    try:
        assert process.wait(240) == 1, printed(process)[-3000:]
    finally:
        end(process)
    text = printed(process)
    assert "error: the connection to the cluster of Ray is lost" in text, text[-3000:]
    assert "Traceback" not in text
    with head() as address:
        finished(start(place, "jax", "bitesize", *words(out, "--workers", 1, "--address", address)))
    assert same(losses(place / out), expected)


@pytest.mark.parametrize(
    ("here", "there", "message"),
    [("token", "disabled", "unset RAY_AUTH_MODE here"), ("disabled", "token", "needs RAY_AUTH_MODE=token here, too")],
)
def test_tokens_on_one_side_only_are_an_error_that_says_so(place, here, there, message):
    with head(there) as address:
        process = start(
            place,
            "jax",
            "bitesize",
            *words("tokens", "--workers", 1, "--address", address),
            variables={"RAY_AUTH_MODE": here},
        )
        try:
            assert process.wait(120) == 1
        finally:
            end(process)
    assert message in " ".join(printed(process).split())
    assert not (place / "tokens").exists()


@contextlib.contextmanager
def head(tokens="disabled"):
    """Run a cluster of Ray with two processors on this machine; kill all of its processes at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--num-cpus=2", f"--port={port}"]
    command += ["--node-ip-address=127.0.0.1", "--include-dashboard=false", "--disable-usage-stats"]
    environment = {**os.environ, "RAY_AUTH_MODE": tokens, "RAY_AUTH_TOKEN": "0" * 64}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.2)
        time.sleep(2)  # the node joins after the port is open
        yield f"127.0.0.1:{port}"
    finally:
        end(process)


@pytest.mark.skipif(not FULL, reason="runs with BITESIZE_TESTS=full")
def test_an_error_of_the_workers_is_that_of_one_process(place):
    done = {}
    for more in ([], ["--workers", "2"]):
        process = start(place, "jax", "bitesize", "train", "missing", *more)
        assert process.wait(120) == 1
        done[bool(more)] = next(line for line in printed(process).splitlines() if line.startswith("error:"))
    assert done[True] == done[False]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--workers", "0"], "workers must be a number of at least 1"),
        (["--workers", "many"], "--workers must be a number such as 4, or a range such as 2..8"),
        (["--workers", "999"], "--workers 999 needs 999 processors"),
        (["--workers", "1", "--address", "127.0.0.1:9"], "no cluster of Ray answers at 127.0.0.1:9"),
        (["--workers", "1", "--address", "somewhere"], "--address must be auto, HOST:PORT or ray://HOST:PORT"),
        (["--workers", "1", "--gpus-per-worker", "64"], "needs 64 GPUs"),
        (["--address", "auto"], "--address and --gpus-per-worker are about --workers"),
        (["--workers", "2", "--folds", "3"], "--folds trains one model after another in one process"),
    ],
)
def test_wrong_workers_are_refused_before_anything_is_done(place, more, message):
    process = start(place, "jax", "bitesize", *words("refused"), *more)
    assert process.wait(120) == 1
    text = " ".join(printed(process).split())
    assert message in text
    assert "Traceback" not in text
    assert not (place / "refused").exists()


def test_without_ray_the_error_names_what_to_install(place):
    (place / "hidden").mkdir()
    (place / "hidden" / "ray.py").write_text("raise ImportError('no ray here')\n")
    done = subprocess.run(
        [sys.executable, "-m", "bitesize", *words("none", "--workers", 2)],
        cwd=place, env={**os.environ, "PYTHONPATH": str(place / "hidden"), "KERAS_BACKEND": "jax"}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1
    assert "--workers 2 needs Ray: pip install 'bitesize[ray]'" in " ".join(done.stderr.split())


def test_elastic_workers_start_with_what_is_there(place, unbroken):
    out = "elastic"
    text = finished(start(place, "jax", "bitesize", *words(out, "--workers", "1..2")), seconds=400)
    assert len(losses(place / out)) == EPOCHS
    assert same(losses(place / out), unbroken("jax")), text[-3000:]
