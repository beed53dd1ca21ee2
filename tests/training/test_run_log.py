"""The log of a run: what it says of a training, and that it stays readable whatever happens to the training."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.cli.running import COMMAND, PACED_COMMAND, run
from tests.cli.test_train_values import refused

from bitesize.training.run_log.file import LOG, NEXT_LOG, LogFile, adopt_log, read_log
from bitesize.training.run_log.sampling import Sampling

OPTIONS = ["--model", "mlp", "--memory", "16MiB"]


def make_data(folder, rows=64, odd=None):
    """Write a table of two classes; the value of one row may be NaN. Return the arguments that train on it."""
    random = np.random.default_rng(0)
    labels = np.arange(rows) % 2
    x = (random.normal(size=(rows, 3)) + 2 * labels[:, None]).astype(np.float32)
    if odd is not None:
        x[odd, 1] = np.nan
    folder.mkdir(exist_ok=True)
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", labels)
    return ["train", folder / "x.npy", "--labels", folder / "y.npy", *OPTIONS, "--batch-size", 8]


def raw_lines(out):
    return [json.loads(line) for line in (out / LOG).read_text(encoding="utf-8").splitlines()]


def of(kind, events):
    return [event for event in events if event["event"] == kind]


def history(out):
    with (out / "history.csv").open() as file:
        return list(csv.DictReader(file))


def write_log(folder, *events):
    log = LogFile(folder, "run")
    for event in events:
        log.write({"time": "", "seconds": 0.0, **event})


def test_a_finished_run_has_its_start_all_figures_of_its_epochs_and_its_end(tmp_path):
    out = tmp_path / "run"
    run(*make_data(tmp_path / "data"), "--epochs", 3, "--out", out)
    start, *epochs, end = raw_lines(out)
    assert (
        start | {"rows": 58, "val_rows": 6, "batch_size": 8, "epochs": 3, "batches": 7, "model": "mlp", "from": None}
        == start
    )
    assert start["budget_bytes"] == 16 << 20
    assert start["run"] == json.loads((out / "config.json").read_text())["run"]
    assert "bitesize train" in start["command"]
    for event, line in zip(epochs, history(out), strict=True):
        figures = {name: float(value) for name, value in line.items() if name != "seconds"}
        assert event | figures == event
        assert event["epoch_seconds"] == float(line["seconds"])
        assert 0 < event["memory_bytes"] <= event["budget_bytes"]
        assert event["process_bytes"] > 10 << 20
        assert "bound" in event["verdict"]
    summary = json.loads((out / "summary.json").read_text())
    assert end | {"event": "end", "epochs": 3, "best_epoch": summary["best_epoch"], "reason": "finished"} == end
    seconds = [event["seconds"] for event in raw_lines(out)]
    assert seconds == sorted(seconds)


def test_early_stopping_is_the_reason_of_the_end(tmp_path):
    out = tmp_path / "run"
    run(*make_data(tmp_path / "data"), "--epochs", 50, "--early-stopping", 1, "--learning-rate", 3, "--out", out)
    *_, end = read_log(out)
    assert end["reason"] == "stopped early"
    assert end["best_epoch"] < end["epochs"] == len(history(out)) < 50


def test_a_training_that_failed_and_is_continued_has_one_log(tmp_path):
    out = tmp_path / "run"
    command = [
        *make_data(tmp_path / "data", odd=20),
        "--epochs",
        2,
        "--checkpoint-every",
        1,
        "--normalize",
        "none",
        "--out",
        out,
    ]
    assert "NaN or infinite" in refused(*command)
    assert [event["event"] for event in read_log(out)] == ["start", "end"]
    assert read_log(out)[-1]["reason"] == "failed"
    with (out / LOG).open("a") as file:
        file.write('{"event": "epoch", "epoch": 7, "los')  # as a kill leaves it
    make_data(tmp_path / "data")
    run(*command)
    events = raw_lines(out)
    assert [event["event"] for event in events] == ["start", "end", "start", "epoch", "epoch", "end"]
    assert events[2]["from"].startswith("00000")
    assert events[2]["run"] == events[0]["run"]
    seconds = [event["seconds"] for event in events]
    assert seconds == sorted(seconds)


def test_a_run_that_is_trained_longer_continues_its_log(tmp_path):
    out = tmp_path / "run"
    run(*make_data(tmp_path / "data"), "--epochs", 1, "--out", out)
    run("train", "--resume", "--epochs", 3, "--out", out)
    events = read_log(out)
    assert [event["epochs"] for event in of("start", events)] == [1, 3]
    assert [event["epoch"] for event in of("epoch", events)] == [1, 2, 3]
    assert events[-1]["epochs"] == 3


def test_the_log_of_a_run_that_is_replaced_stays_until_the_new_model_is_there(tmp_path):
    out = tmp_path / "run"
    run(*make_data(tmp_path / "data"), "--epochs", 1, "--out", out)
    before = (out / LOG).read_bytes()
    command = [*make_data(tmp_path / "data", odd=20), "--normalize", "none", "--epochs", 2, "--overwrite", "--out", out]
    refused(*command)
    assert (out / LOG).read_bytes() == before
    make_data(tmp_path / "data")
    run(*command)
    assert [event["event"] for event in raw_lines(out)] == ["start", "epoch", "epoch", "end"]
    assert not (out / NEXT_LOG).exists()


def test_estimators_are_logged_as_well(tmp_path):
    out = tmp_path / "run"
    run(*make_data(tmp_path / "data"), "--model", "sklearn:SGDClassifier", "--epochs", 2, "--out", out)
    start, *epochs, end = raw_lines(out)
    assert start["model"] == "sklearn:SGDClassifier"
    assert [event["val_accuracy"] for event in epochs] == [float(line["val_accuracy"]) for line in history(out)]
    assert end["reason"] == "finished"


def test_each_fold_has_its_log(tmp_path):
    out = tmp_path / "run"
    run(*make_data(tmp_path / "data"), "--model", "sklearn:SGDClassifier", "--epochs", 1, "--folds", 2, "--out", out)
    starts = [read_log(out / f"fold-{fold}")[0] for fold in (1, 2)]
    assert starts[0]["run"] != starts[1]["run"]


def test_a_log_that_cannot_be_written_ends_no_training(tmp_path):
    out = tmp_path / "run"
    (out / LOG).mkdir(parents=True)
    done = run(*make_data(tmp_path / "data"), "--model", "sklearn:SGDClassifier", "--epochs", 2, "--out", out)
    assert done.stderr.count("log.jsonl cannot be written") == 1
    assert len(history(out)) == 2


@pytest.mark.parametrize(
    ("arguments", "module"),
    [
        (["--log", "tensorboard"], "tensorboardX"),
        (["--log", "jsonl,mlflow"], "mlflow"),
        (["--log", "jsonl", "--log", "wandb"], "wandb"),
        (["--prometheus", "figures.prom"], "prometheus_client"),
    ],
)
@pytest.mark.parametrize("model", ["mlp", "sklearn:SGDClassifier"])
def test_a_missing_package_is_an_error_before_training(tmp_path, monkeypatch, arguments, module, model):
    monkeypatch.setitem(sys.modules, module, None)
    out = tmp_path / "run"
    text = refused(*make_data(tmp_path / "data"), "--model", model, *arguments, "--out", out)
    extra = {"tensorboardX": "tensorboard", "prometheus_client": "prometheus"}.get(module, module)
    assert text.endswith(f'pip install "bitesize[{extra}]"')
    assert not out.exists()


def test_places_that_do_not_exist_are_refused(tmp_path):
    command = make_data(tmp_path / "data")
    assert "--log must be one of jsonl, tensorboard, mlflow, wandb, not 'comet'" in refused(*command, "--log", "jsonl,comet")
    assert "must be a file that ends in .prom" in refused(*command, "--prometheus", "figures.txt")
    if importlib.util.find_spec("prometheus_client"):
        assert "does not exist" in refused(*command, "--prometheus", tmp_path / "gone" / "figures.prom")


def test_places_are_settings_that_may_change_when_a_run_is_continued(tmp_path):
    out, config = tmp_path / "run", tmp_path / "config.json"
    config.write_text('{"log": ["jsonl"], "epochs": 1}')
    run(*make_data(tmp_path / "data"), "--config", config, "--out", out)
    assert json.loads((out / "config.json").read_text())["settings"]["log"] == ["jsonl"]
    run("train", "--resume", "--epochs", 2, "--log", "jsonl,jsonl", "--out", out)
    assert read_log(out)[-1]["epochs"] == 2


def test_of_what_was_trained_again_the_last_line_is_read(tmp_path):
    write_log(
        tmp_path,
        {"event": "start", "run": "run", "from": None},
        {"event": "batch", "epoch": 1, "batch": 10, "loss": 3.0},
        {"event": "epoch", "epoch": 1, "loss": 2.0},
        {"event": "batch", "epoch": 2, "batch": 5, "loss": 1.5},
        {"event": "batch", "epoch": 2, "batch": 15, "loss": 1.0},
        {"event": "epoch", "epoch": 2, "loss": 0.9},
        {"event": "start", "run": "run", "from": "000003-epoch1-batch8.npz"},
        {"event": "batch", "epoch": 2, "batch": 12, "loss": 1.1},
        {"event": "epoch", "epoch": 2, "loss": 0.8},
        {"event": "epoch", "epoch": 2, "loss": 0.7},
    )
    assert [(event.get("epoch"), event.get("batch"), event.get("loss")) for event in read_log(tmp_path)] == [
        (None, None, None), (1, 10, 3.0), (1, None, 2.0), (2, 5, 1.5), (None, None, None), (2, 12, 1.1), (2, None, 0.7),
    ]  # fmt: skip


@pytest.mark.parametrize("cut", range(2, 40, 3))
def test_a_log_that_was_cut_anywhere_is_read_and_continued(tmp_path, cut):
    start = {"event": "start", "run": "run"}
    write_log(tmp_path, start, {"event": "epoch", "epoch": 1}, {"event": "epoch", "epoch": 2})
    path = tmp_path / LOG
    path.write_bytes(path.read_bytes()[:-cut])
    assert [event["epoch"] for event in of("epoch", read_log(tmp_path))] == [1]
    write_log(tmp_path, {"event": "epoch", "epoch": 2})
    assert [event["epoch"] for event in of("epoch", raw_lines(tmp_path))] == [1, 2]


@given(
    kills=st.lists(st.tuples(st.integers(1, 12), st.integers(0, 200)), max_size=5),
    every=st.integers(1, 5),
)
def test_a_training_that_is_killed_again_and_again_has_each_epoch_and_batch_once(kills, every):
    """Each kill comes after some batches, loses all after the last checkpoint, and cuts the log somewhere in its last lines."""
    batches, epochs, at = 4, 3, 0  # the batches that the newest checkpoint has

    def train(folder, stop):
        log = LogFile(folder, "run")
        name = f"000001-epoch{at // batches}-batch{at % batches}.npz" if at else None
        log.write({"event": "start", "time": "", "seconds": log.seconds, "run": "run", "from": name})
        for number in range(at, min(stop, batches * epochs)):
            place = {"time": "", "seconds": log.seconds, "epoch": number // batches + 1}
            log.write({"event": "batch", **place, "batch": number % batches + 1})
            if (number + 1) % batches == 0:
                log.write({"event": "epoch", **place})

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for trained, cut in kills:
            before = (folder / LOG).stat().st_size if (folder / LOG).exists() else 0
            train(folder, at + trained)
            after = (folder / LOG).stat().st_size
            # What a checkpoint has was logged before it.
            kept = max(before, after - cut)
            if kept == after:
                at = min(at + trained, batches * epochs) // every * every
            with (folder / LOG).open("rb+") as file:
                file.truncate(kept)
        train(folder, batches * epochs)
        raw_lines(folder)
        events = read_log(folder)
        assert [event["epoch"] for event in of("epoch", events)] == [1, 2, 3]
        found = [(event["epoch"], event["batch"]) for event in of("batch", events)]
        assert found == [(number // batches + 1, number % batches + 1) for number in range(batches * epochs)]


def test_a_line_that_lacks_only_its_end_is_kept(tmp_path):
    write_log(tmp_path, {"event": "start", "run": "run"}, {"event": "epoch", "epoch": 1})
    (tmp_path / LOG).write_bytes((tmp_path / LOG).read_bytes()[:-1])
    write_log(tmp_path, {"event": "epoch", "epoch": 2})
    assert [event["epoch"] for event in of("epoch", raw_lines(tmp_path))] == [1, 2]


def test_lines_that_are_no_events_are_left_out(tmp_path):
    lines = ["nonsense", "[1]", '{"event": "other"}', "", '{"event": "epoch"}', "\0\0", '{"event": ["epoch"]}']
    lines += [
        '{"event": "epoch", "time": "", "seconds": 1, "epoch": "1"}',
        '{"event": "start", "time": "", "seconds": 1, "from": 3}',
    ]
    (tmp_path / LOG).write_text("\n".join(lines) + "\n")
    assert read_log(tmp_path) == []


def test_a_run_takes_over_its_own_log_only(tmp_path):
    write_log(tmp_path, {"event": "start", "run": "run"})
    adopt_log(tmp_path, "run")
    assert len(read_log(tmp_path)) == 1
    adopt_log(tmp_path, "another")
    assert not (tmp_path / LOG).exists()


@pytest.mark.parametrize(
    ("epochs", "batches", "pace"), [(3, 100_000, 0.01), (1, 1_000_000, 1.0), (400, 50, 0.2), (2, 10, 7.0)]
)
def test_a_training_of_any_length_has_about_a_thousand_lines_and_none_too_soon(epochs, batches, pace):
    sampling, now, logged = Sampling(1.0, epochs * batches, 1000), 0.0, []
    for epoch in range(epochs):
        for batch in range(1, batches + 1):
            now += pace
            if (rate := sampling.rate(epoch, batch, now)) is not None:
                assert rate == pytest.approx(1 / pace)
                logged.append(now)
    assert 15 < len(logged) <= 1000
    assert min(np.diff(logged)) >= 0.999


def wait_for(process, out, kind, count=1):
    deadline = time.monotonic() + 120
    while len(of(kind, read_log(out))) < count:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="processes cannot be interrupted gently")
def test_the_log_is_whole_after_an_interruption_and_a_kill(tmp_path):
    out = tmp_path / "run"
    arguments = [
        *make_data(tmp_path / "data", rows=600),
        "--batch-size",
        1,
        "--epochs",
        6,
        "--early-stopping",
        0,
        "--checkpoint-every",
        20,
        "--out",
        out,
    ]
    arguments, environment = list(map(str, arguments)), os.environ | {"OMP_NUM_THREADS": "1"}
    for number in (signal.SIGINT, signal.SIGKILL):
        process = subprocess.Popen(
            [*PACED_COMMAND, *arguments], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        known = len(of("batch", read_log(out)))
        wait_for(process, out, "batch", known + 2)
        process.send_signal(number)
        process.wait()
    assert subprocess.run([*COMMAND, *arguments], env=environment, capture_output=True, check=False).returncode == 0
    lines, events = raw_lines(out), read_log(out)
    assert [event["reason"] for event in of("end", lines)] == ["interrupted", "finished"]
    assert len(of("start", lines)) == 3
    assert [event["epoch"] for event in of("epoch", events)] == [*range(1, 7)]
    places = [(event["epoch"], event["batch"]) for event in of("batch", events)]
    assert places == sorted(set(places))
    seconds = [event["seconds"] for event in lines]
    assert seconds == sorted(seconds)
