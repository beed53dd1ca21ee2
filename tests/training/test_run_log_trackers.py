"""Training in TensorBoard, MLflow, Weights & Biases and Prometheus, read with the readers of these libraries themselves."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest
from tests.cli.running import COMMAND, PACED_COMMAND, run
from tests.training.test_run_log import history, make_data, of, raw_lines, read_log, wait_for

from bitesize.training.run_log.background import Background
from bitesize.training.run_log.writer import LoggedRun

# Other libraries warn of each other.
pytestmark = pytest.mark.filterwarnings("default")
TOP = Path(__file__).parents[2]
# The command of MLflow with its server, which has an environment of its own in CI: it needs older versions of some packages.
SERVER = next(
    filter(None, (shutil.which(str(TOP / ".venv-mlflow" / "bin" / "mlflow")), os.environ.get("MLFLOW_COMMAND"))), None
)


def environment(tmp_path, **more):
    trackers = {
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}",
        "WANDB_MODE": "offline",
        "OMP_NUM_THREADS": "1",
    }
    return os.environ | trackers | more


def begin(tmp_path, arguments, command=COMMAND, **more):
    arguments = [*command, *map(str, arguments)]
    return subprocess.Popen(
        arguments,
        env=environment(tmp_path, **more),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def train(tmp_path, arguments, code=0, **more):
    process = begin(tmp_path, arguments, **more)
    text, _ = process.communicate(timeout=280)
    assert process.returncode == code, text
    return text


def losses(out):
    return [float(line["loss"]) for line in history(out)]


def scalars(folder):
    """Return what TensorBoard shows: steps and values by tag."""
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = reader.EventAccumulator(str(folder), size_guidance={reader.SCALARS: 0})
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def metrics_of(path):
    """Return the figures of a file for Prometheus, by their names."""
    parser = pytest.importorskip("prometheus_client.parser")
    families = parser.text_string_to_metric_families(Path(path).read_text(encoding="utf-8"))
    return {sample.name: sample for family in families for sample in family.samples}


def records_of(path):
    """Read the file of an offline run of Weights & Biases: a log of LevelDB, with its records in blocks of 32 KiB."""
    protocol = pytest.importorskip("wandb.proto.wandb_internal_pb2")
    content, at, part = path.read_bytes(), 7, b""
    assert content[:4] == b":W&B"
    while at + 7 <= len(content):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        _, size, kind = struct.unpack("<IHB", content[at : at + 7])
        part = (b"" if kind in (1, 2) else part) + content[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4) and part:
            yield protocol.Record.FromString(part)


def history_of(path):
    """Return the lines of an offline run of Weights & Biases."""
    for record in records_of(path):
        if record.WhichOneof("record_type") == "history":
            yield {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}


def test_each_place_has_one_whole_run_after_a_kill_and_a_resume(tmp_path):
    for name in ("tensorboardX", "tensorboard", "mlflow", "sqlalchemy", "wandb", "prometheus_client"):
        pytest.importorskip(name)
    import mlflow

    data = make_data(tmp_path / "data", rows=500)
    trackers = ["--log", "tensorboard,mlflow", "--log", "wandb", "--prometheus", tmp_path / "figures.prom"]
    out = tmp_path / "run"
    command = [*data, "--batch-size", 1, "--epochs", 3, "--checkpoint-every", 30, *trackers, "--out", out]
    process = begin(tmp_path, command, PACED_COMMAND)
    wait_for(process, out, "epoch", 1)
    wait_for(process, out, "batch", len(of("batch", read_log(out))) + 1)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    killed = metrics_of(tmp_path / "figures.prom")
    assert killed["bitesize_running"].value == 1
    assert killed["bitesize_running"].labels == {"run": str(out)}
    train(tmp_path, command)
    batches = raw_lines(out)[0]["batches"]

    shown = scalars(out / "tensorboard")
    assert shown["epoch/loss"] == [(batches * epoch, pytest.approx(loss)) for epoch, loss in enumerate(losses(out), 1)]
    steps = [step for step, _ in shown["batch/loss"]]
    assert steps == sorted(set(steps))
    assert [step for step, _ in shown["batch/rows_per_second"]] == steps

    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (tracked,) = client.search_runs([client.get_experiment_by_name("bitesize").experiment_id])
    assert tracked.info.status == "FINISHED"
    assert tracked.data.params | {"epochs": "3", "model": "mlp", "rows": "450"} == tracked.data.params
    assert "bound" in tracked.data.tags["bitesize.verdict"]
    points = client.get_metric_history(tracked.info.run_id, "loss")
    assert [(point.step, point.value) for point in points] == [*enumerate(losses(out), 1)]
    steps = [point.step for point in client.get_metric_history(tracked.info.run_id, "batch/loss")]
    assert steps == sorted(set(steps))

    files = sorted((out / "wandb").glob("offline-run-*/run-*.wandb"))
    assert [path.stem for path in files] == [f"run-{raw_lines(out)[0]['run']}"] * 2
    lines = [line for path in files for line in history_of(path) if "val_loss" in line]
    assert {line["epoch"]: line["loss"] for line in lines} == dict(enumerate(losses(out), 1))

    ended = metrics_of(tmp_path / "figures.prom")
    assert ended["bitesize_running"].value == 0
    assert ended["bitesize_loss"].value == losses(out)[-1]
    assert ended["bitesize_epoch"].value == 3
    assert 0 < ended["bitesize_memory_bytes"].value <= ended["bitesize_budget_bytes"].value
    assert not [*tmp_path.glob("figures.prom.*")]


def test_tensorboard_shows_the_run_that_replaces_another_only(tmp_path):
    pytest.importorskip("tensorboardX")
    pytest.importorskip("tensorboard")
    out = tmp_path / "run"
    command = [*make_data(tmp_path / "data"), "--log", "tensorboard", "--out", out]
    run(*command, "--epochs", 3)
    run(*command, "--epochs", 2, "--overwrite")
    assert len([*(out / "tensorboard").iterdir()]) == 1
    assert len(scalars(out / "tensorboard")["epoch/loss"]) == 2
    run("train", "--resume", "--epochs", 4, "--out", out)
    assert [value for _, value in scalars(out / "tensorboard")["epoch/loss"]] == pytest.approx(losses(out))


@pytest.mark.skipif(sys.platform != "linux", reason="a disk that is always full")
def test_a_disk_that_is_full_ends_no_training(tmp_path, monkeypatch):
    pytest.importorskip("tensorboardX")
    from tensorboardX import record_writer

    def full(path):
        """Open what Linux has as a full disk."""
        return open("/dev/full", "wb")

    monkeypatch.setattr(record_writer, "open_file", full)
    out = tmp_path / "run"
    command = [*make_data(tmp_path / "data"), "--model", "sklearn:SGDClassifier", "--log", "tensorboard", "--epochs", 3]
    done = run(*command, "--out", out)
    assert done.stderr.count("TensorBoard cannot be written: [Errno 28]") == 1
    assert read_log(out)[-1]["reason"] == "finished"


def test_a_server_that_cannot_be_reached_is_an_error_before_training(tmp_path):
    pytest.importorskip("mlflow")
    out = tmp_path / "run"
    text = train(
        tmp_path,
        [*make_data(tmp_path / "data"), "--log", "mlflow", "--out", out],
        1,
        MLFLOW_TRACKING_URI="http://127.0.0.1:9",
    )
    assert "--log mlflow: MLflow cannot be used at http://127.0.0.1:9" in " ".join(text.split())
    assert not out.exists()


def test_weights_and_biases_without_a_user_is_an_error_before_training(tmp_path):
    pytest.importorskip("wandb")
    out = tmp_path / "run"
    keyless = {"WANDB_MODE": "online", "WANDB_BASE_URL": "http://127.0.0.1:9", "WANDB_API_KEY": "0" * 40}
    text = train(tmp_path, [*make_data(tmp_path / "data"), "--log", "wandb", "--out", out], 1, **keyless)
    assert "WANDB_MODE=offline writes files" in " ".join(text.split())
    assert not out.exists()


@pytest.fixture
def server(tmp_path):
    """Start a server of MLflow; yield its address and its process."""
    if SERVER is None:
        pytest.skip("the server of MLflow is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    store = [
        "--backend-store-uri",
        f"sqlite:///{tmp_path / 'server.db'}",
        "--artifacts-destination",
        str(tmp_path / "artifacts"),
    ]
    process = subprocess.Popen(
        [SERVER, "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1", *store],
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    address, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 120
    while True:
        try:
            urllib.request.urlopen(f"{address}/health", timeout=5).close()
            break
        except OSError:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
    yield address, process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.skipif(sys.platform == "win32", reason="groups of processes")
def test_a_server_of_mlflow_has_the_run_and_may_go_away(tmp_path, server, caplog, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    address, process = server
    out = tmp_path / "run"
    data = make_data(tmp_path / "data", odd=20)
    command = [*data, "--epochs", 2, "--checkpoint-every", 1, "--normalize", "none", "--log", "mlflow", "--out", out]
    train(tmp_path, command, 1, MLFLOW_TRACKING_URI=address)
    client = mlflow.MlflowClient(address)
    experiment = client.get_experiment_by_name("bitesize").experiment_id
    assert [tracked.info.status for tracked in client.search_runs([experiment])] == ["FAILED"]
    make_data(tmp_path / "data")
    train(tmp_path, command, MLFLOW_TRACKING_URI=address)
    (tracked,) = client.search_runs([experiment])
    assert tracked.info.status == "FINISHED"
    assert tracked.data.tags["bitesize.reason"] == "finished"
    assert [point.value for point in client.get_metric_history(tracked.info.run_id, "loss")] == losses(out)

    from bitesize.training.run_log.mlflow import MLflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    mlflow.set_tracking_uri(None)
    start, *epochs, end = raw_lines(out)[2:]
    writer = Background(MLflow(LoggedRun(out, "another", "another", {"epochs": 2})))
    writer.write(start)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for event in (*epochs, end):
        writer.write(event)
    assert [record.message.partition(":")[0] for record in caplog.records if record.name == "bitesize"] == [
        "MLflow cannot be written"
    ]


def test_a_server_that_hangs_does_not_hold_up_the_end_of_training(tmp_path, caplog):
    pytest.importorskip("mlflow")
    from bitesize.training.run_log.mlflow import MLflow

    class Hanging(MLflow):
        """Stands for a server that takes a request and never answers."""

        def start(self, event):
            """Do nothing."""

        def end(self, event):
            """Wait for long."""
            released.wait(60)

    released = threading.Event()
    writer = Background(Hanging(LoggedRun(tmp_path, "run", "run", {})), patience=0.2)
    for kind in ("start", "end"):
        writer.write({"event": kind})
    released.set()
    assert "has not taken the last figures within 0.2 s" in caplog.text
