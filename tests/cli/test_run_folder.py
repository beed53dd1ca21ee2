"""In which folder a run goes, and that none is lost unasked: numbers, finished and interrupted runs, longer training, the record."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from tests.cli.test_train_values import refused, run

from bitesize.storage.locking import FolderLock
from bitesize.training.run import RunFolder
from bitesize.training.trained import open_run

OPTIONS = ["--model", "mlp", "--batch-size", 8, "--memory", "16MiB"]


def make_rows(folder, rows=40, odd=None):
    """Write rows of two classes, a file each; one of them may have a value that is NaN."""
    random = np.random.default_rng(0)
    for i in range(rows):
        path = folder / "ab"[i % 2] / f"{i:03}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        row = (random.normal(size=(2, 3)) + 3 * (i % 2)).astype(np.float32)
        if i == odd:
            row[1, 2] = np.nan
        np.save(path, row)
    return folder


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return make_rows(tmp_path / "data")


@pytest.fixture
def interrupted(data):
    """Leave a run that ends in its second batch, by a NaN that is mended afterwards."""

    def leave(*arguments):
        make_rows(data, odd=12)
        assert "NaN or infinite" in refused(
            "train", data, *OPTIONS, "--normalize", "none", "--checkpoint-every", 1, *arguments
        )
        make_rows(data)

    return leave


def contents(folder):
    return {path: hashlib.md5(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*")) if path.is_file()}


def epochs_of(out):
    with (out / "history.csv").open() as file:
        return [int(line["epoch"]) for line in csv.DictReader(file)]


def config_of(out):
    return json.loads((out / "config.json").read_text())


def test_runs_are_numbered_and_latest_is_the_newest_with_a_model(data, tmp_path):
    command = ["train", data, *OPTIONS, "--epochs", 1]
    assert "run: runs/1 (--out DIR changes this)" in run(*command).stderr
    before = contents(tmp_path / "runs")
    done = run(*command)
    assert "saved in runs/2" in " ".join(done.stdout.split())
    assert contents(tmp_path / "runs" / "1") == before
    (tmp_path / "runs" / "3" / "checkpoints").mkdir(parents=True)
    done = run("evaluate", "runs/latest", data, "--json")
    assert "runs/latest is runs/2" in done.stderr
    assert json.loads(done.stdout)["rows"] == 40
    assert open_run("runs/latest").path.name == "2"
    run("predict", "runs/latest", data, "--out", tmp_path / "p.csv")
    (tmp_path / "runs" / "latest").mkdir()  # a folder of that name is what it says
    assert "latest is not the folder of a finished run" in refused("evaluate", "runs/latest", data)


def test_a_number_is_given_once_and_one_without_anything_in_it_is_taken(data, tmp_path):
    (tmp_path / "runs" / "4").mkdir(parents=True)
    command = ["train", data, *OPTIONS, "--epochs", 1]
    assert "run: runs/4 " in run(*command).stderr
    (tmp_path / "runs" / "5").mkdir()
    lock = FolderLock.take(tmp_path / "runs" / "5")  # of a run that has just begun
    assert "run: runs/6 " in run(*command).stderr
    lock.release()


def test_what_is_refused_leaves_no_folder(data, tmp_path):
    refused("train", tmp_path / "nothing")
    refused("train", data, "--model", "nothing")
    refused("train", data, "--model", "nothing", "--out", tmp_path / "deep" / "run")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_a_finished_run_is_kept_and_what_can_be_done_is_said(data, tmp_path):
    out = tmp_path / "my run"
    command = ["train", data, *OPTIONS, "--epochs", 1, "--out", out]
    run(*command)
    before = contents(out)
    done = run(*command)
    assert "is finished: nothing is left to train. 1 epoch: loss " in done.stderr
    assert f"train --resume --epochs 2 --out '{out}' trains longer" in done.stderr
    assert "--overwrite" in done.stderr
    assert done.stdout == ""
    assert json.loads(run(*command, "--json").stdout)["epochs"][0]["epoch"] == 1
    said = refused(*command, "--seed", 3, "--learning-rate", 0.01)
    assert "has a finished run with other settings: --learning-rate was 0.001 and is 0.01; --seed was 0 and is 3" in said
    assert "Another --out keeps it; --overwrite replaces it" in said
    longer = refused("train", data, *OPTIONS, "--epochs", 3, "--out", out)
    assert f"train --resume --epochs 3 --out '{out}' trains it longer" in longer
    run(*command, "--memory", "24MiB", "--on-error", "skip")  # changes nothing that is learned
    assert contents(out) == before
    make_rows(data, 42)
    assert (
        "DATA has other files, labels or shapes than at the start of the run: train had 36 rows and now has 38"
        in refused(*command)
    )
    assert contents(out) == before
    assert "is replaced after this run's first epoch" in run(*command, "--overwrite").stderr
    assert contents(out) != before
    assert config_of(out)["split"] == {"file": "split.csv", "train": 38, "val": 4}


def test_data_that_has_only_moved_are_the_same(data, tmp_path):
    command = [*OPTIONS, "--epochs", 1, "--out", tmp_path / "run"]
    run("train", data, *command)
    data.rename(tmp_path / "moved")
    assert "is finished" in run("train", tmp_path / "moved", *command).stderr
    assert "is finished" in run("train", "moved", *command).stderr


def test_overwrite_needs_a_folder_and_excludes_resume(data):
    assert "without --out, each run has its own number" in refused("train", data, "--overwrite")
    assert "--resume continues it" in refused("train", data, "--overwrite", "--resume", "--out", "x")


def test_a_run_that_another_process_trains_is_left_alone(data, tmp_path):
    run("train", data, *OPTIONS, "--epochs", 1, "--out", tmp_path / "run")
    lock = FolderLock.take(tmp_path / "run")
    assert "another process is training in" in refused("train", data, *OPTIONS, "--overwrite", "--out", tmp_path / "run")
    lock.release()


@pytest.mark.parametrize("out", [(), ("--out", "run")], ids=["numbered", "out"])
def test_the_same_command_continues_an_interrupted_run(data, tmp_path, interrupted, out):
    command = ["train", data, *OPTIONS, "--normalize", "none", "--checkpoint-every", 1, "--epochs", 2]
    run(*command, "--out", "whole")
    interrupted("--epochs", 2, *out)
    done = run(*command, *out)
    folder = tmp_path / (out[1] if out else "runs/1")
    assert f"Continuing the interrupted run in {folder.relative_to(tmp_path)} from " in done.stderr
    assert "starts another run" in done.stderr
    assert epochs_of(folder) == [1, 2]
    weights = [
        config["epochs"][-1]["loss"]
        for config in (json.loads((each / "summary.json").read_text()) for each in (folder, tmp_path / "whole"))
    ]
    assert weights[0] == weights[1]
    config = config_of(folder)
    assert config["continued"] == 1
    assert config["sessions"][1]["from"].endswith(".npz")


def test_of_an_interrupted_run_with_other_settings_one_line_tells(data, tmp_path, interrupted):
    interrupted("--epochs", 2)
    done = run("train", data, *OPTIONS, "--epochs", 1, "--seed", 4)
    assert "runs/1 is an interrupted run with other settings or data" in done.stderr
    assert "train --resume --out runs/1" in done.stderr
    assert "run: runs/2" in done.stderr
    assert "Continuing the run in runs/1" in run("train", "--resume", "--out", "runs/1").stderr
    interrupted("--epochs", 2, "--out", "named")
    said = refused("train", data, *OPTIONS, "--epochs", 1, "--out", "named")
    assert "named has an interrupted run with other settings: " in said
    assert "--normalize was none and is model" in said
    assert "train --resume --out named continues it" in said


def test_two_commands_that_take_turns_continue_each_its_own_run(data, interrupted):
    interrupted("--epochs", 2)
    interrupted("--epochs", 2, "--seed", 9)
    options = [*OPTIONS, "--normalize", "none", "--epochs", 2]
    assert "Continuing the interrupted run in runs/1" in run("train", data, *options).stderr
    assert "Continuing the interrupted run in runs/2" in run("train", data, *options, "--seed", 9).stderr


def test_a_finished_run_is_trained_longer(data, tmp_path):
    out = tmp_path / "run"
    run("train", data, *OPTIONS, "--epochs", 2, "--out", out)
    done = run("train", "--resume", "--epochs", 4, "--out", out)
    said = " ".join(done.stdout.split())
    assert "epochs: 4 instead of 2; 2 are trained" in said
    assert "learning rate: rises again to 0.001 over a tenth of the 8 remaining steps, then falls to 0" in said
    assert epochs_of(out) == [1, 2, 3, 4]
    assert config_of(out)["learning_rate_from_step"] == 8
    assert "--epochs is 3, but 4 epochs of the run in" in refused("train", "--resume", "--epochs", 3, "--out", out)
    assert "is finished" in run("train", "--resume", "--epochs", 4, "--out", out).stderr
    assert "is finished" in run("train", data, *OPTIONS, "--epochs", 4, "--out", out).stderr


def test_training_longer_counts_the_patience_of_early_stopping_from_the_beginning(data, tmp_path):
    out = tmp_path / "run"
    options = [*OPTIONS, "--learning-rate", 3, "--early-stopping", 1]
    run("train", data, *options, "--epochs", 20, "--out", out)
    stopped = len(epochs_of(out))
    assert stopped < 20
    done = run("train", "--resume", "--epochs", 25, "--out", out)
    assert "early stopping: keeps the best epoch so far, and restarts its patience" in " ".join(done.stdout.split())
    assert len(epochs_of(out)) > stopped


@pytest.mark.parametrize("model", [("mlp", "--checkpoint-every", 0), ("sklearn:SGDClassifier",)])
def test_a_run_without_checkpoints_cannot_be_trained_longer(data, tmp_path, model):
    out = tmp_path / "run"
    run("train", data, *OPTIONS, "--model", *model, "--epochs", 1, "--out", out)
    assert "is finished" in run("train", "--resume", "--out", out).stderr
    said = refused("train", "--resume", "--epochs", 2, "--out", out)
    assert "has no checkpoint and cannot be trained longer" in said
    assert (f"--model {out}/model.keras" in said) == (out / "model.keras").is_file() == (model[0] == "mlp")


@pytest.mark.parametrize("model", ["mlp", "sklearn:SGDClassifier"])
def test_a_run_that_was_killed_before_its_report_gets_it_from_the_same_command(data, tmp_path, model):
    out = tmp_path / "run"
    words = ["train", data, *OPTIONS, "--model", model, "--epochs", 1, "--out", out]
    run(*words)
    page = (out / "report.html").read_text()
    (out / "report.html").unlink()
    assert json.loads(run(*words, "--no-report", "--json").stdout)["report"] is None
    assert not (out / "report.html").exists()
    done = run(*words)
    assert "is finished: nothing is left to train" in done.stderr
    assert f"wrote {out}/report.html" in done.stdout.replace("\n", "")
    assert (out / "report.html").read_text() == page
    again = run(*words, "--json")
    assert json.loads(again.stdout)["report"] == str(out / "report.html")
    (out / "report.html").unlink()
    (out / "report.html").mkdir()  # cannot be written
    assert "report could not be written" in run(*words).stderr.replace("\n", " ")


def test_resume_without_a_folder_takes_the_newest_numbered_run(data):
    assert "there is no run to resume in runs" in refused("train", "--resume")
    run("train", data, *OPTIONS, "--epochs", 1)
    assert "Continuing the run in runs/1" in run("train", "--resume", "--epochs", 2).stderr
    done = run("train", "--resume", "--epochs", 3, "--out", "runs/latest")
    assert "runs/latest is runs/1" in done.stderr


def test_the_record_is_enough_for_a_paper(data, tmp_path):
    run("train", data, *OPTIONS, "--epochs", 1, "--seed", 5, "--out", tmp_path / "run")
    run("train", data, *OPTIONS, "--epochs", 1, "--seed", 5, "--out", tmp_path / "again")
    config, again = config_of(tmp_path / "run"), config_of(tmp_path / "again")
    assert {"bitesize", "python", "numpy", "numba", "keras", "pillow", "simplejpeg", config["backend"]} <= set(
        config["versions"]
    )
    assert config["versions"]["numpy"] == np.__version__
    assert config["machine"]["memory"] > 1 << 28
    assert config["machine"]["processor"]
    assert {"system", "cores", "accelerators"} <= set(config["machine"])
    assert (config["seed"], config["continued"], len(config["sessions"])) == (5, 0, 1)
    assert config["started"] <= config["ended"]
    assert config["command"].endswith(config["sessions"][0]["command"])
    assert config["fingerprints"] == again["fingerprints"]
    with (tmp_path / "run" / "split.csv").open(encoding="utf-8-sig", newline="") as file:
        lines = list(csv.DictReader(file))
    assert {line["path"] for line in lines} == {f"{'ab'[i % 2]}/{i:03}.npy" for i in range(40)}
    assert sorted(int(line["row"]) for line in lines) == list(range(40))
    assert [line["part"] for line in lines].count("val") == config["split"]["val"] == 4
    assert (tmp_path / "run" / "split.csv").read_bytes() == (tmp_path / "again" / "split.csv").read_bytes()


def test_runs_of_the_version_before_open(data, tmp_path):
    out = tmp_path / "run"
    command = ["train", data, *OPTIONS, "--epochs", 1, "--out", out]
    run(*command)
    config, summary = config_of(out), json.loads((out / "summary.json").read_text())
    new = ("run", "started", "ended", "command", "versions", "machine", "continued", "sessions", "seed", "given", "folder", "fingerprints",
           "split", "learning_rate_from_step")  # fmt: skip
    (out / "config.json").write_text(
        json.dumps({name: value for name, value in config.items() if name not in new} | {"schema": 1})
    )
    (out / "summary.json").write_text(
        json.dumps({name: each for name, each in summary.items() if name not in ("run", "planned_epochs")})
    )
    (out / "split.csv").unlink()
    shutil.rmtree(out / "checkpoints")
    assert json.loads(run("evaluate", out, data, "--json").stdout)["rows"] == 40
    run("predict", out, data, "--out", tmp_path / "p.csv")
    assert "is finished" in run(*command).stderr
    assert "--epochs was 1 and is 2" in refused("train", data, *OPTIONS, "--epochs", 2, "--out", out)


def test_folds_are_numbered_and_the_same_command_continues_them(data, tmp_path):
    command = ["train", data, *OPTIONS, "--folds", 2, "--epochs", 1]
    run(*command)
    assert (tmp_path / "runs" / "1" / "folds.json").is_file()
    (tmp_path / "runs" / "1" / "folds.json").unlink()
    shutil.rmtree(tmp_path / "runs" / "1" / "fold-2")
    done = run(*command)
    assert "The run in runs/1/fold-1 is finished" in done.stderr
    assert (tmp_path / "runs" / "1" / "fold-2" / "model.keras").is_file()
    assert "run: runs/2" in run(*command).stderr


@pytest.mark.parametrize("model", ["mlp", "cnn", "sklearn:SGDClassifier"])
def test_rows_with_nan_end_the_run_and_are_named(tmp_path, model):
    random = np.random.default_rng(0)
    for i in range(40):
        path = tmp_path / "data" / "ab"[i % 2] / f"{i:03}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = random.random((16, 16, 3)).astype(np.float32)
        image[3, 4] = np.nan if i == 22 else 0
        np.save(path, image)
    options = ["--model", model, "--batch-size", 8, "--normalize", "none", "--val-split", 0, "--epochs", 2]
    more = [] if model.startswith("sklearn") else ["--checkpoint-every", 1]
    said = refused("train", tmp_path / "data", *options, *more, "--out", tmp_path / "run")
    assert "a/022.npy: 3 of 768 values of x" in said
    assert not list(tmp_path.glob("run/model.*"))
    for path in tmp_path.glob("run/checkpoints/*.npz"):
        with np.load(path, allow_pickle=False) as saved:
            assert all(
                np.isfinite(saved[name]).all() for name in saved.files if name.isdecimal() and saved[name].dtype.kind == "f"
            )


def test_a_learning_rate_that_is_too_high_ends_the_run_and_keeps_what_was_good(data, tmp_path):
    out = tmp_path / "run"
    run("train", data, *OPTIONS, "--epochs", 1, "--checkpoint-every", 1, "--out", out)
    before = (out / "model.keras").read_bytes()
    said = refused(
        "train", data, *OPTIONS, "--epochs", 9, "--learning-rate", 1e6, "--batch-size", 2, "--out", out, "--overwrite"
    )
    assert "training diverged. Try a lower learning rate (it was " in said
    assert "scale the values, which went from" in said
    assert f"Kept in {out}, from before: " in said
    assert "model.keras" in said
    assert (out / "model.keras").read_bytes() == before


def test_values_that_are_measured_name_the_rows_with_nan(tmp_path):
    data = make_rows(tmp_path / "data", odd=7)
    np.save(tmp_path / "data" / "b" / "007.npy", np.array([1, np.nan, 2], np.float32))
    for i in range(40):
        path = data / "ab"[i % 2] / f"{i:03}.npy"
        np.save(path, np.load(path).reshape(-1)[:3])
    assert "b/007.npy: 1 of 3 values of x" in refused("train", data, *OPTIONS, "--out", tmp_path / "run")


def test_of_a_run_that_fails_in_its_first_epoch_only_the_beginning_is_there_and_said(data, tmp_path):
    make_rows(data, odd=12)
    said = refused("train", data, *OPTIONS, "--normalize", "none", "--out", tmp_path / "run")
    assert said.endswith(
        f"Only the initial state was saved: {tmp_path / 'run' / 'checkpoints' / '000001-epoch0-batch0.npz'}"
    )


def test_temporary_files_of_killed_processes_go_when_a_run_is_trained_again(data, tmp_path):
    out = tmp_path / "run"
    (out / "checkpoints").mkdir(parents=True)
    killed = subprocess.Popen([sys.executable, "-c", ""])
    killed.wait()
    host = platform.node()[:40]
    left = [
        out / f".history.{host}-{killed.pid}-7.tmp.csv",
        out / "checkpoints" / f".000002-epoch1-batch0.{host}-{killed.pid}-1.tmp.npz",
    ]
    others = [out / f".history.{host}-{os.getpid()}-99.tmp.csv", out / f".history.elsewhere-{killed.pid}-7.tmp.csv"]
    for path in [*left, *others]:
        path.write_bytes(b"half")
    run("train", data, *OPTIONS, "--epochs", 1, "--out", out)
    assert [path for path in [*left, *others] if path.exists()] == others


@pytest.mark.slow
def test_an_interrupted_replacement_says_that_the_earlier_run_is_unchanged(data, tmp_path):
    out = tmp_path / "run"
    run("train", data, *OPTIONS, "--epochs", 1, "--out", out)
    before = contents(out)
    command = [sys.executable, "-u", "-m", "bitesize", "train", data, *OPTIONS, "--epochs", 500, "--out", out, "--overwrite"]
    with subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        process.stdout.readline()  # of the plan: the first epoch is yet to be compiled
        process.send_signal(signal.SIGTERM)
        said = process.communicate()[1]
    assert process.returncode == 143
    assert f"the earlier run in {out} is unchanged" in said
    after = contents(out)
    assert {path: after[path] for path in before} == before


def test_names_in_any_script_are_readable_in_the_records(tmp_path):
    data, out = make_rows(tmp_path / "Größe und 写真"), tmp_path / "run"
    run("train", data, *OPTIONS, "--epochs", 1, "--out", out)
    assert "Größe und 写真" in (out / "config.json").read_text(encoding="utf-8")
    assert config_of(out)["settings"]["data"] == str(data)


def test_names_that_are_no_text_come_back_as_they_were(tmp_path):
    folder = RunFolder(tmp_path)
    name = os.fsdecode(b"caf\xe9")
    folder.write_config({"settings": {"data": name}}, (name, "b"))
    assert folder.config()["settings"]["data"] == folder.classes()[0] == name
