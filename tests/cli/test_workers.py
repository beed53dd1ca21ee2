"""`--workers`: commands that divide their rows among processes of Ray find and write what one process does."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys

import numpy as np
import psutil
import pytest
from PIL import Image
from tests.cli.running import COMMAND, run, run_alone
from tests.cluster.teams import WITHOUT_RAY, team_of, wait_until

from bitesize.training import run_copy

pytest.importorskip("ray", reason=WITHOUT_RAY)
pytest.importorskip("skops", reason="models of scikit-learn are saved with skops")


@pytest.fixture(autouse=True)
def nothing_left_behind():
    """Ray opens connections whenever it needs them, and keeps them."""


@pytest.fixture(scope="module")
def top(tmp_path_factory):
    """Photographs with one of everything that is wrong, and a run."""
    top = tmp_path_factory.mktemp("workers")
    random = np.random.default_rng(0)
    for i in range(160):
        pixels = random.integers(60, 120, (9, 8, 3)).astype(np.uint8)
        pixels[:, :4] += np.uint8(100 * (i % 2))
        file = top / "photos" / ("dull", "left")[i % 2] / f"{i:03}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(file)
    (top / "photos" / "dull" / "zz.png").write_bytes((top / "photos" / "dull" / "000.png").read_bytes())
    (top / "photos" / "dull" / "text.png").write_text("no image")
    Image.fromarray(np.full((9, 8, 3), 7, np.uint8)).save(top / "photos" / "left" / "flat.png")
    words = ("--model", "sklearn:SGDClassifier", "--epochs", 2, "--image-size", 8, "--batch-size", 4, "--on-error", "skip")
    run("train", top / "photos", *words, "--out", top / "run")
    return top


@pytest.fixture(scope="module")
def _ray(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("caches")))  # of workers, which copy runs from addresses
        with team_of(2):
            yield


@pytest.fixture
def two(_ray):
    """Options of two workers."""
    return "--workers", 2


@pytest.mark.parametrize(
    "words",
    [
        "stats photos --on-error skip",
        "check photos",
        "evaluate run photos --on-error skip --max-bad 0.02",
        "evaluate run photos --on-error skip --part val",
        "predict run photos",
    ],
)
def test_the_json_of_two_workers_is_that_of_one_process(top, two, words):
    code = 3 if words.startswith("check") else 0
    alone = run(*words.split(), "--json", code=code, cwd=top)
    shared = run(*words.split(), "--json", *two, code=code, cwd=top)
    assert shared.stdout == alone.stdout
    assert len(json.loads(shared.stdout)) > 3


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_the_file_of_predictions_is_that_of_one_process_byte_for_byte(top, two, suffix, tmp_path):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    for name, options in (("one", ()), ("two", two)):
        done = run("predict", "run", "photos", "--out", tmp_path / f"{name}{suffix}", *options, cwd=top)
    assert (tmp_path / f"two{suffix}").read_bytes() == (tmp_path / f"one{suffix}").read_bytes()
    assert "162 predictions in" in done.stdout
    assert "1 row has no prediction" in done.stdout
    assert "text.png: not an image" in done.stdout


def test_a_line_says_who_does_the_work_and_for_whom_memory_is(top, two):
    said = run("stats", top / "photos" / "left", *two, "--memory", "64MiB").stdout
    assert "workers   2: Ray at " in said
    assert "--memory 64MiB is for each worker" in " ".join(said.split())


def test_damaged_files_that_workers_found_are_moved(two, tmp_path):
    for i in range(40):
        (tmp_path / "data" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / "data" / "ab"[i % 2] / f"{i}.npy", np.random.default_rng(i).random((4, 4)))
    file = tmp_path / "data" / "b" / "39.npy"
    file.write_bytes(file.read_bytes()[:-40])
    found = json.loads(run("check", "data", "--json", "--move-bad", "bad", *two, code=3, cwd=tmp_path).stdout)
    assert [os.path.basename(path) for path in found["moved"]] == ["39.npy"]
    assert not file.exists()
    assert "no problems found" in run("check", "data", *two, cwd=tmp_path).stdout


@pytest.mark.parametrize("words", ["stats photos", "check photos", "evaluate run photos", "predict run photos"])
def test_what_workers_cannot_be_is_refused_before_anything_is_read(top, words):
    assert (
        "--workers 2..8 is a range, which is for training"
        in run(*words.split(), "--workers", "2..8", code=1, cwd=top).stderr
    )
    assert "--workers must be a number" in run(*words.split(), "--workers", "all", code=1, cwd=top).stderr
    assert "add it, such as --workers 2" in run(*words.split(), "--address", "auto", code=1, cwd=top).stderr


@pytest.mark.parametrize("words", ["stats photos", "evaluate run photos"])
def test_an_error_of_a_worker_is_one_line_as_in_one_process(top, two, words):
    alone = run(*words.split(), code=1, cwd=top).stderr
    assert "error: " in alone
    assert run(*words.split(), *two, code=1, cwd=top).stderr == alone


def test_errors_of_predicting_leave_the_file_as_it_is(top, two, tmp_path):
    (tmp_path / "none.png").write_text("no image")
    (tmp_path / "p.csv").write_text("mine")
    words = ("predict", top / "run", tmp_path / "none.png", "--out", tmp_path / "p.csv", "--overwrite", *two)
    assert "None of 1 row could be predicted" in run(*words, code=1).stderr
    assert (tmp_path / "p.csv").read_text() == "mine"
    assert (
        "text.png"
        in run(
            "predict", top / "run", top / "photos", "--on-error", "raise", "--out", tmp_path / "q.csv", *two, code=1
        ).stderr
    )
    assert not (tmp_path / "q.csv").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is another event there")
def test_ctrl_c_ends_the_workers_and_leaves_no_file(top, tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("\n".join([str(file) for file in sorted((top / "photos" / "left").glob("*.png"))] * 400))
    words = ["predict", top / "run", names, "--workers", "2", "--out", tmp_path / "p.csv"]
    command = subprocess.Popen([*COMMAND, *map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    children: list[psutil.Process] = []

    def works() -> bool:
        """Return whether a worker is at work."""
        assert command.poll() is None
        children[:] = psutil.Process(command.pid).children(recursive=True)
        return any(any("ray::Worker.do" in word for word in _words(child)) for child in children)

    wait_until(works)
    command.send_signal(signal.SIGINT)
    assert command.wait(60) == 130
    _, alive = psutil.wait_procs(children, 30)
    assert not alive
    assert os.listdir(tmp_path) == ["names.txt"]
    assert b"Traceback" not in command.stderr.read()
    command.stderr.close()


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@pytest.mark.slow
@pytest.mark.framework
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_workers_use_the_backend_of_the_program(top, backend, tmp_path, monkeypatch):
    pytest.importorskip("keras", reason="Keras is not installed: pip install 'bitesize[keras]'")
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    monkeypatch.setenv("KERAS_BACKEND", backend)
    words = ("--model", "mlp", "--epochs", 1, "--image-size", 8, "--batch-size", 4, "--on-error", "skip")
    run_alone("train", top / "photos", *words, "--out", tmp_path / "run")
    evaluate = ("evaluate", tmp_path / "run", top / "photos", "--on-error", "skip", "--max-bad", 0.02, "--json")
    alone, shared = (json.loads(run_alone(*evaluate, *workers).stdout) for workers in ((), ("--workers", 2)))
    assert shared.pop("loss") == pytest.approx(alone.pop("loss"), rel=1e-5)
    assert shared == alone


@pytest.mark.remote
def test_runs_data_and_predictions_may_be_at_addresses(top, two, s3_server, bucket, tmp_path, monkeypatch):
    pytest.importorskip("obstore", reason="obstore is not installed: pip install 'bitesize[remote]'")
    for file in [*(top / "photos").rglob("*.png"), *(file for file in (top / "run").iterdir() if file.is_file())]:
        s3_server.put(bucket, file.relative_to(top).as_posix(), file.read_bytes())
    settings = {name: value for name, value in s3_server.options().items() if name != "client_options"}
    options = [word for name, value in settings.items() for word in ("--storage-option", f"{name}={_text(value)}")]
    monkeypatch.setattr(run_copy, "working_folder", lambda: tmp_path / "cache")
    run_of, data = f"s3://{bucket}/run", f"s3://{bucket}/photos/"
    evaluate = ("evaluate", run_of, data, "--on-error", "skip", "--max-bad", 0.02, "--json", *options)
    assert run(*evaluate, *two).stdout == run(*evaluate).stdout
    for name, workers in (("one", ()), ("two", two)):
        run("predict", run_of, data, "--out", f"s3://{bucket}/{name}.csv", *options, *workers)
    answers = [s3_server.request("GET", f"/{bucket}/{name}.csv") for name in ("one", "two")]
    assert answers[0][0] == 200
    assert answers[1][2] == answers[0][2]


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
