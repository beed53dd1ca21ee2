"""Runs at addresses: trained, resumed on another machine, measured and used, and never half there."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.buckets import make_bucket
from tests.cli.running import lines_of, run
from tests.cli.test_run_folder import OPTIONS, make_rows

from bitesize.errors import FileChanged
from bitesize.packing import destination
from bitesize.storage import paths, stores
from bitesize.storage.local import LocalStorage
from bitesize.storage.stores import register_storage
from bitesize.training import run_copy, run_mirror
from bitesize.training.run_log.file import read_log
from bitesize.training.run_mirror import RunMirror
from bitesize.training.run_status import read_status
from bitesize.training.trained import load

ADDRESS = "disk://bucket/runs/first"
TRAIN = [*OPTIONS, "--epochs", 3, "--checkpoint-every", 1]


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return make_rows(tmp_path / "data")


@pytest.fixture
def bucket(tmp_path):
    return make_bucket(tmp_path / "bucket")


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """Return a function that moves to a machine of another name, which has no copies of runs yet."""

    def move(name):
        monkeypatch.setattr(run_copy, "working_folder", lambda: tmp_path / f"cache of {name}")

    monkeypatch.setattr(run_mirror, "PAUSE", 0.0)
    move("one")
    return move


def weights(path):
    import keras

    return [hashlib.md5(each.tobytes()).hexdigest() for each in keras.models.load_model(path).get_weights()]


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_run_at_an_address_is_that_of_a_folder(data, bucket, tmp_path, machine):
    run("train", data, *TRAIN, "--out", "local")
    done = run("train", data, *TRAIN, "--out", ADDRESS)
    assert f"Its files are copied to {ADDRESS}" in done.stderr
    assert f"saved in {ADDRESS}: model.keras" in " ".join(done.stdout.split())
    there = bucket.folder / "runs" / "first"
    assert names(there) == names(tmp_path / "local")
    assert weights(there / "model.keras") == weights(tmp_path / "local" / "model.keras")
    assert not (tmp_path / "cache of one").exists() or not names(tmp_path / "cache of one")
    machine("two")
    for name in ("loss", "accuracy", "confusion"):
        at, local = (json.loads(run("evaluate", each, data, "--json").stdout)[name] for each in (ADDRESS, "local"))
        assert at == local
    run("predict", ADDRESS, data, "--out", "disk://bucket/there.csv")
    run("predict", "local", data, "--out", "here.csv")
    assert lines_of(bucket.folder / "there.csv") == lines_of(tmp_path / "here.csv")
    assert load(ADDRESS + "/").classes == ("a", "b")


def test_an_interrupted_run_is_resumed_on_another_machine(data, bucket, tmp_path, machine):
    run("train", data, *TRAIN, "--out", "local")
    make_rows(data, odd=12)
    run("train", data, *TRAIN, "--normalize", "none", "--out", ADDRESS, code=1)
    assert all(name == "log.jsonl" or name.startswith("checkpoints/") for name in names(bucket.folder / "runs" / "first"))
    make_rows(data)
    run("train", data, *TRAIN, "--normalize", "none", "--out", "local2")
    machine("two")
    done = run("train", "--resume", "--out", ADDRESS)
    assert f"Continuing the run in {ADDRESS} from" in done.stderr
    there = bucket.folder / "runs" / "first"
    assert weights(there / "model.keras") == weights(tmp_path / "local2" / "model.keras")
    assert names(there) == names(tmp_path / "local2")
    machine("three")
    done = run("train", "--resume", "--epochs", 4, "--out", ADDRESS)
    assert len(lines_of(there / "history.csv")) == 4


def test_what_grows_while_training_runs_is_copied_whole(data, bucket, tmp_path):
    pytest.importorskip("tensorboardX")
    run("train", data, *TRAIN, "--log", "tensorboard", "--out", ADDRESS)
    there = bucket.folder / "runs" / "first"
    assert [event["event"] for event in read_log(there)] == [
        "start",
        *["epoch"] * len(lines_of(there / "history.csv")),
        "end",
    ]
    assert len([name for name in names(there) if name.startswith("tensorboard/events.out.")]) == 1


def test_another_command_does_not_replace_a_run(data, bucket):
    run("train", data, *TRAIN, "--out", ADDRESS)
    before = list(bucket.done)
    done = run("train", data, *TRAIN, "--seed", 1, "--out", ADDRESS, code=1)
    assert f"{ADDRESS} has a finished run with other settings" in done.stderr
    assert "nothing is left to train" in run("train", data, *TRAIN, "--out", ADDRESS).stderr
    assert {each.lstrip("-") for each in bucket.done[len(before) :]} == {"runs/first/.bitesize-can-write"}
    done = run("train", data, *TRAIN, "--seed", 1, "--out", ADDRESS, "--overwrite")
    assert "is replaced after this run's first epoch" in done.stderr
    replaced = bucket.done[len(before) :]
    first = replaced.index("-runs/first/config.json")
    assert first < replaced.index("runs/first/model.keras") < replaced.index("runs/first/config.json")


def test_uploads_that_fail_are_an_error_at_the_end_and_repeated_by_the_same_command(data, bucket, tmp_path):
    run("train", data, *TRAIN, "--out", "local")
    bucket.fail_after(4)
    done = run("train", data, *TRAIN, "--out", ADDRESS, code=1)
    assert "files could not be copied" in done.stderr
    assert "503 SlowDown" in done.stderr
    assert f"bitesize train --resume --out {ADDRESS} copies them" in done.stderr
    bucket.before = lambda number, text: None
    run("train", "--resume", "--out", ADDRESS)
    assert names(bucket.folder / "runs" / "first") == names(tmp_path / "local")
    assert weights(bucket.folder / "runs" / "first" / "model.keras") == weights(tmp_path / "local" / "model.keras")


def test_options_of_storages_are_not_recorded(data, bucket):
    run(
        "train",
        data,
        *TRAIN,
        "--out",
        ADDRESS,
        "--storage-option",
        "secret_access_key=concealed",
        "--storage-option=token=concealed",
    )
    for path in bucket.folder.rglob("*"):
        assert not path.is_file() or b"concealed" not in path.read_bytes()
    config = json.loads((bucket.folder / "runs" / "first" / "config.json").read_text())
    assert "secret_access_key=... --storage-option=token=..." in config["command"]


def test_predictions_at_an_address_are_complete_or_absent(data, bucket):
    run("train", data, *TRAIN, "--out", "local")
    bucket.fail_after(0)
    assert "503 SlowDown" in run("predict", "local", data, "--out", "disk://bucket/p.csv", code=1).stderr
    bucket.before = lambda number, text: None
    assert names(bucket.folder) == []
    run("predict", "local", data, "--out", "disk://bucket/p.csv")
    assert "exists already" in run("predict", "local", data, "--out", "disk://bucket/p.csv", code=1).stderr
    assert len(lines_of(bucket.folder / "p.csv")) == 40


def test_a_report_that_is_written_later_leaves_its_results_at_the_address(data, bucket, machine):
    run("train", data, *TRAIN, "--no-report", "--out", ADDRESS)
    there = bucket.folder / "runs" / "first"
    assert not {"evaluation.json", "report.html"} & set(names(there))
    machine("two")
    run("report", ADDRESS)
    saved = (there / "evaluation.json").read_bytes()
    shutil.rmtree(data)  # the results are there: no row is read again
    machine("three")
    assert json.loads(run("report", ADDRESS, "--json").stdout) == {"report": f"{ADDRESS}/report.html", "missing": ""}
    assert (there / "evaluation.json").read_bytes() == saved


def states_of(bucket, *command):
    """Run a command, and return a copy of the bucket as it is before each write and removal, and at the end."""
    made = []

    def copy(number, text):
        made.append(bucket.folder.with_name(f"state {len(made)}"))
        shutil.copytree(bucket.folder, made[-1])

    bucket.before = copy
    run(*command)
    copy(0, "")
    bucket.before = lambda number, text: None
    return made


def pulled(machine, name):
    """Return the working copy that a machine of this name makes, whose newest checkpoint has the files that it needs."""
    machine(name)
    copy = RunMirror(ADDRESS)
    copy.folder.mkdir(parents=True)
    copy.pull()
    checkpoint = read_status(copy.folder).checkpoint
    if checkpoint is not None and checkpoint.epoch:
        assert (copy.folder / "model.keras").exists()
        assert len(lines_of(copy.folder / "history.csv")) >= checkpoint.epoch
    return copy.folder


def test_whenever_the_machine_dies_the_address_has_a_run_that_can_be_resumed(data, bucket, tmp_path, machine):
    run("train", data, *TRAIN, "--out", "local")
    states = states_of(bucket, "train", data, *TRAIN, "--out", ADDRESS)
    assert len(states) > 12
    for number, state in enumerate(states):
        at = make_bucket(state)
        assert names(pulled(machine, f"number {number}")) == names(state / "runs" / "first")
        if number not in (1, 2, 5, len(states) // 2) and number < len(states) - 3:  # the last states are of the report
            continue
        machine(f"again {number}")
        run("train", data, *TRAIN, "--out", ADDRESS)
        there = at.folder / "runs" / "first"
        assert weights(there / "model.keras") == weights(tmp_path / "local" / "model.keras")
        assert set(names(there)) >= set(names(tmp_path / "local"))  # an old checkpoint stays if none is written after it


def test_no_moment_mixes_two_runs(data, bucket, machine):
    run("train", data, *TRAIN, "--out", ADDRESS)
    there = bucket.folder / "runs" / "first"
    old, first = json.loads((there / "config.json").read_text())["run"], (there / "model.keras").read_bytes()
    states = states_of(bucket, "train", data, *TRAIN, "--seed", 1, "--out", ADDRESS, "--overwrite")
    assert len(states) > 12
    for number, state in enumerate(states):
        found = state / "runs" / "first"
        if (found / "config.json").exists():
            own = json.loads((found / "config.json").read_text())["run"]
            assert ((found / "model.keras").read_bytes() == first) == (own == old), number
            if (found / "summary.json").exists():
                assert json.loads((found / "summary.json").read_text())["run"] == own
        make_bucket(state)
        assert names(pulled(machine, f"number {number}")) == names(found)


@pytest.mark.parametrize("replaces", [False, True])
def test_files_that_are_copied_late_and_all_at_once_are_no_mix_either(data, bucket, tmp_path, machine, replaces):
    if replaces:
        run("train", data, *TRAIN, "--seed", 1, "--out", ADDRESS)
    run("train", data, *TRAIN, "--out", "local")
    bucket.fail_after(2)
    run("train", data, *TRAIN, "--out", ADDRESS, "--overwrite", code=1)
    states = states_of(bucket, "train", "--resume", "--out", ADDRESS)
    for number, state in enumerate(states):
        make_bucket(state)
        assert names(pulled(machine, f"number {number}")) == names(state / "runs" / "first")
    assert weights(states[-1] / "runs" / "first" / "model.keras") == weights(tmp_path / "local" / "model.keras")
    # The moment with all settings of the new run, but none or few of its checkpoints.
    there = next(folder for folder in (state / "runs" / "first" for state in states) if seed_of(folder) == 0)
    assert not (there / "summary.json").exists()
    make_bucket(there.parents[1])
    machine("another")
    run("train", data, *TRAIN, "--out", ADDRESS)
    assert weights(there / "model.keras") == weights(tmp_path / "local" / "model.keras")


def seed_of(folder):
    """Return the seed of the run whose settings are in a folder."""
    return json.loads((folder / "config.json").read_text())["seed"] if (folder / "config.json").exists() else None


KILLED = """
import sys, time
from pathlib import Path
from bitesize.cli.app import main
from bitesize.training import run_copy, run_mirror
from tests.buckets import make_bucket

bucket = make_bucket(Path(sys.argv.pop(1)))
cache = Path(sys.argv.pop(1))
run_copy.working_folder = lambda: cache
run_mirror.PAUSE = 0.0
most = int(sys.argv.pop(1))

def before(number, text):
    time.sleep(0.02)
    if number == most:
        print("now", flush=True)
        time.sleep(100)

bucket.before = before
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="killed processes keep files open for a while")
@pytest.mark.parametrize("same_machine", [True, False])
def test_a_killed_process_loses_nothing_that_was_copied(data, bucket, tmp_path, machine, same_machine):
    run("train", data, *TRAIN, "--out", "local")
    words = [bucket.folder, tmp_path / "cache of one", 9, "train", data, *TRAIN, "--out", ADDRESS]
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, *map(str, words)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])},
    ) as process:
        assert process.stdout is not None
        assert any(line == "now\n" for line in process.stdout)
        process.kill()
    if not same_machine:
        machine("two")
    done = run("train", data, *TRAIN, "--out", ADDRESS)
    assert "Continuing the interrupted run" in done.stderr or "nothing is left to train" in done.stderr
    there = bucket.folder / "runs" / "first"
    assert weights(there / "model.keras") == weights(tmp_path / "local" / "model.keras")
    # A training may have ended before its report was written: `bitesize report` writes it.
    report = {"evaluation.json", "report.html"}
    assert set(names(there)) >= set(names(tmp_path / "local")) - report


def test_two_machines_that_train_into_one_address_are_noticed(data, bucket, machine):
    run("train", data, *TRAIN, "--out", ADDRESS)
    mirror = RunMirror(ADDRESS)
    mirror.folder.mkdir(parents=True, exist_ok=True)
    mirror.pull()
    bucket.write("runs/first/checkpoints/000099-epoch3-batch0.npz", [b"of another machine"])
    with pytest.raises(FileChanged, match="was changed by another program"):
        mirror.push()


@pytest.fixture(scope="module")
def running_s3(s3_server):
    """Return the S3 server, which is started before descriptors are counted."""
    return s3_server


@pytest.mark.remote
def test_data_run_predictions_and_store_are_in_s3(running_s3, data, tmp_path, machine, monkeypatch):
    monkeypatch.setattr(stores, "_storages", {})
    monkeypatch.setattr(destination, "working_folder", lambda: tmp_path / "cache of packing")
    name = running_s3.make_bucket()
    running_s3.put_folder(name, data, "data/")
    at = f"s3://{name}"
    options = {**running_s3.options(), **running_s3.options()["client_options"]}
    del options["client_options"]
    words = [word for key, value in options.items() for word in ("--storage-option", f"{key}={value}")]
    run("train", data, *TRAIN, "--out", "local")
    run("train", f"{at}/data", *TRAIN, "--memory", "64MiB", "--out", f"{at}/runs/first", *words)
    machine("two")
    run("evaluate", f"{at}/runs/first", f"{at}/data", "--part", "val", *words)
    run("predict", f"{at}/runs/first", data, "--out", f"{at}/predictions.csv", *words)
    run("predict", "local", data, "--out", "predictions.csv")
    run("train", "--resume", "--epochs", 4, "--out", f"{at}/runs/first", *words)
    run("pack", f"{at}/data", "--out", f"{at}/packed", "--verify", *words)
    run("train", f"{at}/packed", *TRAIN, "--memory", "64MiB", "--out", f"{at}/runs/second", *words)
    keys = running_s3.keys(name)
    assert {
        "runs/first/model.keras",
        "runs/first/summary.json",
        "predictions.csv",
        "packed/manifest.json",
        "runs/second/model.keras",
    } <= set(keys)
    assert "packed/packing.json" not in keys
    with paths.open(f"{at}/predictions.csv") as file:
        assert file.read() == (tmp_path / "predictions.csv").read_bytes()


def test_options_of_storages_reach_the_data_of_a_resumed_run(data, bucket, machine):
    opened = {}

    def opener(root, options):
        opened[root] = dict(options)
        return bucket if root == "disk://bucket" else LocalStorage(data.parent, root)

    register_storage("disk", opener)
    more = ["--memory", "64MiB"]
    run(
        "train",
        "disk://other/data",
        *TRAIN,
        *more,
        "--out",
        ADDRESS,
        "--storage-option",
        "allow_http=true",
        "--storage-option",
        "n=5",
    )
    assert opened == {"disk://bucket": {"allow_http": True, "n": "5"}, "disk://other": {"allow_http": True, "n": "5"}}
    run("train", "--resume", "--epochs", 4, "--out", ADDRESS, "--storage-option", "n=6")
    assert opened == {"disk://bucket": {"n": "6"}, "disk://other": {"n": "6"}}
    assert "none is given" in run("info", data, "--storage-option", "n=6", code=1).stderr
    assert "takes key=value" in run("info", "disk://other/data", "--storage-option", "n", code=1).stderr


def test_estimators_and_folds_are_trained_into_addresses(data, bucket, tmp_path, machine):
    pytest.importorskip("sklearn")
    run("train", data, "--model", "sklearn:SGDClassifier", "--memory", "16MiB", "--epochs", 2, "--out", "disk://bucket/sgd")
    assert {"model.skops", "config.json", "summary.json"} <= set(names(bucket.folder / "sgd"))
    machine("two")
    assert len(load("disk://bucket/sgd").predict(data)) == 40
    run("train", data, *TRAIN, "--folds", 2, "--out", "disk://bucket/folds")
    run("train", data, *TRAIN, "--folds", 2, "--out", "folds")
    assert names(bucket.folder / "folds") == names(tmp_path / "folds")
    there, here = (
        json.loads((folder / "folds.json").read_text())["mean"] for folder in (bucket.folder / "folds", tmp_path / "folds")
    )
    assert there == here
