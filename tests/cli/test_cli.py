"""The commands as a user types them."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.running import COMMAND, PACED_COMMAND, lines_of, run
from tests.conftest import compiled_once, noise, write_jpeg

from bitesize.cli.demo_data import picture, write_photos


@pytest.fixture(scope="module", autouse=True)
def most_commands_train_the_same_small_model(tmp_path_factory):
    with compiled_once(tmp_path_factory.mktemp("compiled")):
        yield


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Two hundred and forty of the demo's pictures, small."""
    folder = tmp_path_factory.mktemp("data") / "photos"
    write_photos(folder, 240, lambda rows: None, height=60, width=80)
    return folder


@pytest.fixture(scope="module")
def trained(pictures, tmp_path_factory):
    """The folder of a short run, and what it printed."""
    out = tmp_path_factory.mktemp("run") / "first"
    done = run(
        "train",
        pictures,
        "--image-size",
        32,
        "--epochs",
        2,
        "--val-split",
        0.2,
        "--memory",
        "64MiB",
        "--out",
        out,
        "--seed",
        1,
    )
    return out, done.stdout


def test_help_loads_neither_numpy_nor_a_framework():
    code = (
        "import sys; sys.argv = ['bitesize', '--help']\n"
        "from bitesize.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([name for name in ('numpy', 'numba', 'keras', 'jax', 'torch', 'PIL') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")
    for command in ("train", "evaluate", "predict", "plan", "demo"):
        assert command in done.stdout


def test_training_prints_plan_then_epochs_and_leaves_a_whole_run(trained, pictures):
    out, text = trained
    assert text.index("total") < text.index("val_accuracy") < text.index("saved in")
    assert {path.name for path in out.iterdir()} == {
        "model.keras",
        "history.csv",
        "log.jsonl",
        "evaluation.json",
        "report.html",
        "config.json",
        "classes.json",
        "summary.json",
        "split.csv",
        "checkpoints",
    }
    history = lines_of(out / "history.csv")
    assert [line["epoch"] for line in history] == ["1", "2"]
    assert {"loss", "accuracy", "val_loss", "val_accuracy", "rows_per_second"} <= set(history[0])
    config = json.loads((out / "config.json").read_text())
    assert config["settings"]["data"] == str(pictures)
    assert config["transforms"][0].items() >= {"name": "Resize", "size": 32, "interpolation": "bilinear"}.items()
    assert json.loads((out / "classes.json").read_text()) == ["checked", "striped"]
    summary = json.loads((out / "summary.json").read_text())
    assert 0 < summary["peak_bytes"] <= summary["budget"] == 64 << 20


def test_evaluation_counts_each_row_once_and_agrees_with_prediction(trained, pictures, tmp_path):
    result = json.loads(run("evaluate", trained[0], pictures, "--json").stdout)
    confusion = np.array(result["confusion"])
    assert (result["rows"], result["bad_rows"], result["classes"]) == (240, 0, ["checked", "striped"])
    assert confusion.sum(axis=1).tolist() == [120, 120]
    assert result["accuracy"] == pytest.approx(np.trace(confusion) / 240)
    for i, figures in enumerate(result["per_class"]):
        assert figures["recall"] == pytest.approx(confusion[i, i] / 120)
    out = tmp_path / "p.csv"
    run("predict", trained[0], pictures, "--out", out)
    lines = lines_of(out)
    assert len({line["path"] for line in lines}) == 240
    right = [line["predicted"] == Path(line["path"]).parent.name for line in lines]
    assert np.mean(right) == pytest.approx(result["accuracy"])
    losses = [-np.log(max(1e-9, float(line["p_" + Path(line["path"]).parent.name]))) for line in lines]
    assert np.mean(losses) == pytest.approx(result["loss"], rel=1e-3)
    assert "precision" in run("evaluate", trained[0], pictures).stdout


def test_classes_are_matched_by_name(trained, pictures, tmp_path):
    only = tmp_path / "only"
    only.mkdir()
    (only / "striped").symlink_to(pictures / "striped")
    result = json.loads(run("evaluate", trained[0], only, "--json").stdout)
    assert np.array(result["confusion"])[0].sum() == 0
    assert result["per_class"][0] == {
        "class": "checked",
        "precision": result["per_class"][0]["precision"],
        "recall": None,
        "f1": None,
        "rows": 0,
    }
    (only / "unheard").symlink_to(pictures / "checked")
    assert "'unheard'" in run("evaluate", trained[0], only, code=1).stderr


def test_prediction_takes_a_flat_folder_one_file_and_a_glob(trained, pictures, tmp_path):
    pytest.importorskip("pyarrow")
    import pyarrow.parquet

    one = pictures / "striped" / "00001.jpg"
    for what, rows in ((pictures / "striped", 120), (one, 1), (f"{pictures}/checked/0000*.jpg", 5)):
        run("predict", trained[0], what, "--out", tmp_path / "p.parquet", "--overwrite")
        table = pyarrow.parquet.read_table(tmp_path / "p.parquet")
        assert (table.num_rows, table.column_names) == (rows, ["path", "predicted", "p_checked", "p_striped", "error"])


def test_a_run_goes_on_from_its_saved_model_with_its_own_image_size(trained, pictures, tmp_path):
    out = tmp_path / "more"
    run("train", pictures, "--model", trained[0] / "model.keras", "--epochs", 1, "--out", out, "--json")
    assert json.loads((out / "config.json").read_text())["input_shape"] == [32, 32, 3]


def test_arrays_a_table_and_a_model_from_a_file(arrays, tmp_path):
    (tmp_path / "model.py").write_text(
        "import keras\n"
        "def build(shape, classes):\n"
        "    layers = [keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(classes, activation='softmax')]\n"
        "    return keras.Sequential(layers)\n"
    )
    table = tmp_path / "labels.csv"
    lines = [f"{('even', 'odd')[i % 2]}/{i}.npy,{('low', 'high')[i >= 15]}" for i in range(30)]
    table.write_text("\n".join(["path,label", *lines]))
    done = run(
        "train", arrays, "--labels", table, "--model", f"{tmp_path}/model.py:build", "--class-weights", "--early-stopping", 2,
        "--batch-size", "auto", "--epochs", 3, "--learning-rate", 0.05, "--val-split", 0.3, "--out", tmp_path / "run", "--json",
    )  # fmt: skip
    result = json.loads(done.stdout)
    assert result["best_epoch"] >= 1
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["settings"]["batch_size"], config["output"], config["input_shape"]) == (16, "probabilities", [12, 10, 3])
    assert json.loads((tmp_path / "run" / "classes.json").read_text()) == ["high", "low"]
    for name in ("even", "odd"):
        assert json.loads(run("evaluate", tmp_path / "run", arrays, "--labels", table, "--json").stdout)["rows"] == 30, name


def test_a_skipped_row_is_listed_and_not_predicted(pictures, trained, tmp_path):
    data = tmp_path / "data"
    for name in ("checked", "striped"):
        (data / name).mkdir(parents=True)
        for path in sorted((pictures / name).iterdir())[:20]:
            (data / name / path.name).symlink_to(path)
    (data / "striped" / "text.jpg").write_text("I am a text")
    out = tmp_path / "run"
    refused = run("train", data, "--image-size", 32, "--epochs", 1, "--val-split", 0, "--out", out, code=1).stderr
    assert "text.jpg: not an image" in refused.replace("\n", "")
    assert "row 40" in refused
    run("train", data, "--image-size", 32, "--epochs", 1, "--val-split", 0, "--out", out, "--on-error", "skip", "--json")
    bad = lines_of(out / "bad_rows.csv")
    assert [(line["row"], Path(line["path"]).name) for line in bad] == [("40", "text.jpg")]
    assert (
        "1 row has no prediction; the column error has the reason"
        in run("predict", trained[0], data, "--out", tmp_path / "p.csv").stdout
    )
    last = lines_of(tmp_path / "p.csv")[-1]
    assert (Path(last["path"]).name, last["predicted"], last["p_striped"]) == ("text.jpg", "", "")
    assert "not an image" in last["error"]
    result = json.loads(run("evaluate", trained[0], data, "--on-error", "skip", "--json").stdout)
    assert (result["rows"], result["bad_rows"]) == (40, 1)
    assert [(bad["row"], Path(bad["path"]).name) for bad in result["bad"]] == [(40, "text.jpg")]


def test_the_plan_is_a_table_or_json(pictures, arrays):
    text = run("plan", pictures, "--image-size", 64, "--memory", "64MiB").stdout
    assert "naive, float64" in text
    assert "outside the budget" in text
    plan = json.loads(run("plan", arrays, "--memory", "64MiB", "--batch-size", "8", "--json").stdout)
    # What `bitesize train` trains on: a tenth of each class is held back, and rows that fill no batch are left out.
    assert (plan["rows"], plan["batches"], plan["naive_float64"]) == (28, 3, 28 * 12 * 10 * 3 * 8)
    assert plan["total"] == sum(plan["parts"].values()) <= plan["budget"] == 64 << 20


@pytest.fixture(scope="module")
def bad_data(tmp_path_factory, pictures, arrays):
    root = tmp_path_factory.mktemp("bad")
    (root / "empty").mkdir()
    write_jpeg(root / "one" / "only" / "a.jpg", noise(20, 20))
    (root / "masks").mkdir()
    Image.fromarray(noise(20, 20)[..., 0]).save(root / "masks" / "a.png")
    for i in range(6):
        folder = root / "shapes" / "ab"[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / f"{i}.npy", np.zeros((4, 5, 3) if i < 5 else (4, 6, 3)))
    (root / "three.py").write_text(
        "import keras\ndef build(shape, classes):\n"
        "    return keras.Sequential([keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(3)])\n"
    )
    (root / "broken.jpg").write_text("")
    return root


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{bad}/nowhere"], r"nowhere does not exist"),
        (["{bad}/empty"], r"contains no readable file (it is empty)"),
        (["{bad}/one"], r"has only one class (only)"),
        (["{bad}/one/only"], r"has no classes"),
        (
            ["{bad}/one/only", "--labels", "{bad}/masks", "--task", "classify"],
            "--task classify needs one class per row, but the labels of",
        ),
        (["{bad}/shapes", "--model", "mlp", "--val-split", "0"], r"(4, 6, 3) float64, but"),
        (["{pictures}", "--memory", "1MiB"], "No batch fits: give --memory "),
        (["{pictures}", "--memory", "24MiB", "--image-size", "256"], "Lower --batch-size to"),
        (["{pictures}", "--memory", "much"], "is not a size"),
        (["{pictures}", "--image-size", "0"], "--image-size: a side must be a whole number of 1 to 65535 pixels, not 0"),
        (["{pictures}", "--epochs", "0"], "--epochs must be at least 1"),
        (["{pictures}", "--val-split", "1.5"], "--val-split"),
        (["{pictures}", "--val", "{arrays}"], "class 'even' is unknown to this model; its classes are checked, striped"),
        (["{pictures}", "--model", "{bad}/three.py:build"], "returns (None, 3), but 2 classes need (None, 2)"),
        (["{pictures}", "--model", "{bad}/three.py:nothing"], "has no function 'nothing'"),
        (["{pictures}", "--model", "{bad}/nowhere.keras"], "nowhere.keras does not exist"),
        (["{pictures}", "--model", "ResNet5000"], "unknown model 'ResNet5000'"),
        (["{bad}/nowhere", "--model", "resnet"], "unknown model 'resnet'; did you mean ResNet50?"),
        (["{bad}/nowhere", "--model", "ResNet50", "--weights", "none.h5"], "--weights none.h5: no such file"),
        (["{pictures}", "--labels", "{bad}/nowhere.csv"], "nowhere.csv does not exist"),
        (["{pictures}", "--image-size", "8"], "needs images of at least 16 x 16"),
        (["{arrays}", "--image-size", "64", "--out", "{bad}/three.py"], "--out needs a folder"),
    ],
    ids=range(22),
)
def test_bad_input_is_one_clear_line_and_exit_code_1(bad_data, pictures, arrays, tmp_path, arguments, message):
    filled = [word.format(bad=bad_data, pictures=pictures, arrays=arrays) for word in arguments]
    if "--out" not in filled:
        filled += ["--out", str(tmp_path / "run")]
    done = run("train", *filled, "--epochs", "1", code=1) if "--epochs" not in filled else run("train", *filled, code=1)
    said = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(said) == 1
    assert message in said[0]
    assert not (tmp_path / "run" / "model.keras").exists()


def test_the_version_is_shown_without_a_command():
    assert re.fullmatch(r"bitesize \d+\.\d+\.\d+\n", run("--version").stdout)


def test_wrong_usage_is_exit_code_2_and_debug_shows_the_traceback(tmp_path):
    for arguments in (["train"], ["nothing"], ["plan", "x", "--epochs", "3"], ["train", "x", "--learning-rate", "few"]):
        run(*arguments, code=2)
    for option, value, must in [
        ("--epochs", "abc", "must be a whole number or auto, not 'abc'"),
        ("--batch-size", "1.5", "must be a whole number or auto, not '1.5'"),
        ("--on-error", "no", "must be raise or skip, not 'no'"),
        ("--fields", "a,", "takes names, a,b, or fields with their names in the data, x=image,y=label, not 'a,'"),
    ]:
        assert f"Invalid value for '{option}': {must}\n" in run("train", tmp_path, option, value, code=2).stderr
    done = subprocess.run([*COMMAND, "--debug", "plan", str(tmp_path / "none")], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_a_folder_that_is_no_run_says_so(tmp_path, pictures):
    assert "is not the folder of a finished run" in run("evaluate", tmp_path, pictures, code=1).stderr
    assert "error: nowhere does not exist\n" in run("evaluate", "nowhere", pictures, code=1).stderr
    assert "must end in .csv or .parquet" in run("predict", tmp_path, pictures, "--out", tmp_path / "p.txt", code=1).stderr


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX has them")
def test_ctrl_c_says_what_is_saved_and_how_to_go_on(pictures, tmp_path):
    out = tmp_path / "run"
    command = [*PACED_COMMAND, "train", str(pictures), "--image-size", "32", "--epochs", "500", "--out", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (out / "history.csv").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert "Interrupted." in said
    assert f"bitesize train --resume --out {out}" in said
    assert (out / "model.keras").is_file()
    assert not [*out.glob(".*"), *out.glob("checkpoints/.*")]  # no temporary file


def test_a_thumbnail_does_not_tell_the_demos_classes_apart():
    linear = pytest.importorskip("sklearn.linear_model")
    small, labels = [], []
    for i in range(1500):
        pixels, label = picture(i, 120, 160)
        small.append(np.asarray(Image.fromarray(pixels).resize((8, 8), Image.Resampling.BOX)).ravel() / 255)
        labels.append(label)
    model = linear.LogisticRegression(max_iter=2000).fit(small[:1000], labels[:1000])
    assert model.score(small[1000:], labels[1000:]) < 0.65


@pytest.mark.slow
def test_the_demo_shows_the_naive_way_fail_and_this_way_learn(tmp_path):
    from bitesize.cli.memory_limit import ENFORCED

    first = run("demo", "--folder", tmp_path / "demo")
    assert "side by side" in first.stdout
    if ENFORCED:
        assert "ArrayMemoryError: Unable to allocate 5.15 GiB for an" in first.stdout
    history = lines_of(tmp_path / "demo" / "run-photos" / "history.csv")
    assert float(history[-1]["val_accuracy"]) > 0.9
    size = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert size < 200 * 1000**2


def test_the_full_demo_asks_before_it_writes(tmp_path):
    done = subprocess.run(
        [*COMMAND, "demo", "--full", "--folder", str(tmp_path / "demo")],
        input="n\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (1, 130)
    assert "10.1 GiB" in done.stdout or "need" in done.stderr
    assert not (tmp_path / "demo" / "arrays").exists()


def test_ours_is_the_only_environment_variable_set_for_keras(monkeypatch, tmp_path):
    """A keras.json that Keras wrote by itself chooses nothing; one that names a backend does."""
    from bitesize.errors import MissingPackage
    from bitesize.training.backend import choose_backend

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    alone = choose_backend()
    config = {"floatx": "float32", "epsilon": 1e-07, "backend": "tensorflow", "image_data_format": "channels_last"}
    (tmp_path / "keras.json").write_text(json.dumps(config))
    assert choose_backend() == alone
    (tmp_path / "keras.json").write_text(json.dumps({**config, "backend": "nothing"}))
    with pytest.raises(MissingPackage, match=r"keras\.json sets the Keras backend to nothing"):
        choose_backend()
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert choose_backend() == "jax"
    assert os.environ["KERAS_BACKEND"] == "jax"


def test_an_earlier_run_stays_whole_until_the_new_one_has_a_model(pictures, trained, tmp_path):
    import shutil

    out = tmp_path / "run"
    shutil.copytree(trained[0], out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    data = tmp_path / "data"
    for name in ("checked", "striped"):
        (data / name).mkdir(parents=True)
        (data / name / "broken.jpg").write_text("")
        for path in sorted((pictures / name).iterdir())[:10]:
            (data / name / path.name).symlink_to(path)
    run("train", data, "--model", out / "model.keras", "--epochs", 1, "--out", out, code=1)
    assert all(path.read_bytes() == content for path, content in before.items())


@pytest.mark.slow
def test_class_names_are_not_taken_for_markup(pictures, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "[bold]").symlink_to(pictures / "checked")
    (data / "[red]").symlink_to(pictures / "striped")
    run("train", data, "--image-size", 16, "--epochs", 1, "--out", tmp_path / "run")
    text = run("evaluate", tmp_path / "run", data).stdout
    assert "[bold]" in text
    assert "[red]" in text


def test_damaged_models_and_tables_are_clear_errors(pictures, tmp_path):
    (tmp_path / "bad.keras").write_bytes(b"no model")
    (tmp_path / "bad.weights.h5").write_bytes(b"no weights")
    (tmp_path / "latin.csv").write_bytes("path,label\ncaf\xe9.jpg,a\n".encode("latin-1"))
    options = ["--out", tmp_path / "run", "--image-size", 32]
    for arguments, message in (
        (["--model", tmp_path / "bad.keras"], "cannot be loaded"),
        (["--model", "VGG16", "--weights", tmp_path / "bad.weights.h5"], "are not those of VGG16 without its top"),
        (["--labels", tmp_path / "latin.csv"], "is not a table in UTF-8"),
        (["--learning-rate", "nan"], "--learning-rate"),
    ):
        assert message in run("train", pictures, *arguments, *options, code=1).stderr.replace("\n", "")


def test_what_train_says_it_needs_is_enough(pictures, tmp_path):
    common = ["--image-size", 64, "--epochs", 1, "--model", "mlp", "--out", tmp_path / "run"]
    said = run("train", pictures, "--memory", "10MiB", *common, code=1).stderr
    memory = re.search(r"give --memory (\S+?)[,.]", said)[1]
    run("train", pictures, "--memory", memory, *common)
    assert (tmp_path / "run" / "model.keras").is_file()


def test_bench_measures_and_says_what_bounds(pictures):
    result = json.loads(run("bench", pictures, "--image-size", 32, "--seconds", 0.5, "--json").stdout)
    assert result["rows_per_second"] > 0
    assert 0 < result["share_of_bound"] < 3
    assert ":" in result["verdict"]
    assert set(result["seconds"]) >= {"disk", "decode", "kernel", "Python"}
    shown = run("bench", pictures, "--image-size", 32, "--seconds", 0.5).stdout
    assert "rows/s" in shown
    assert "-bound" in shown


def test_bench_of_rows_that_cannot_be_read_is_an_error(tmp_path):
    for i in range(12):
        (tmp_path / f"{i}.jpg").write_bytes(b"junk")
    assert "no row of" in run("bench", tmp_path, "--image-size", 32, "--seconds", 0.2, code=1).stderr


def test_training_may_normalize_by_the_data(pictures, tmp_path):
    out = tmp_path / "run"
    run("train", pictures, "--normalize", "data", "--image-size", 32, "--epochs", 1, "--model", "mlp", "--out", out)
    config = json.loads((out / "config.json").read_text())
    told = json.loads(run("stats", pictures, "--json").stdout)
    assert [step["name"] for step in config["scaling"]] == ["Normalize"]
    np.testing.assert_allclose(config["scaling"][0]["mean"], told["normalize_mean"], atol=0.05)  # of the part to train on
    assert json.loads(run("evaluate", out, pictures, "--json").stdout)["rows"] == told["rows"]
    assert (
        "--normalize must be model, data, unit, none, window=" in run("train", pictures, "--normalize", "no", code=1).stderr
    )


def test_plan_tells_the_models_side_and_measures(pictures):
    told = json.loads(run("plan", pictures, "--image-size", 32, "--model", "mlp", "--measure", "--json").stdout)
    assert told["model"]["parameters"] >= 4 * (3072 * 128 + 128 + 128 * 2 + 2)
    assert told["model"]["fits"]
    assert told["model"]["largest_batch"] == told["rows"]
    assert told["measured"]["rows_per_second"] > 0
    assert told["process"] == told["total"] + told["overhead"] > 20 << 20
    shown = run("plan", pictures, "--image-size", 32, "--model", "mlp").stdout
    assert f"All {told['rows']} rows fit in one batch." in shown
    assert "the whole process" in shown


def test_stats_measures_and_gives_the_line_to_paste(pictures):
    told = json.loads(run("stats", pictures, "--json").stdout)
    assert told["classes"] == {"checked": told["rows"] // 2, "striped": told["rows"] // 2}
    assert told["normalize"].startswith("bs.Normalize((0.")
    assert len(told["mean"]) == len(told["std"]) == 3
    shown = run("stats", pictures).stdout
    assert told["normalize"] in shown
    assert "checked" in shown


def test_concat_joins_files_into_one(tmp_path):
    parts = [np.random.default_rng(i).random((4, 3, 2)) for i in range(3)]
    for i, part in enumerate(parts):
        np.save(tmp_path / f"{i}.npy", part)
    told = json.loads(run("concat", tmp_path / "?.npy", "--out", tmp_path / "all.npy", "--json").stdout)
    assert (told["shape"], told["dtype"], told["nbytes"]) == ([12, 3, 2], "float64", 576)
    assert np.array_equal(np.load(tmp_path / "all.npy"), np.concatenate(parts))
    shown = run(
        "concat", tmp_path / "0.npy", tmp_path / "2.npy", "--axis", 1, "--dtype", "float32", "--out", tmp_path / "b.npy"
    )
    assert "(4, 6, 2) float32, 192 B" in shown.stdout
    assert np.array_equal(np.load(tmp_path / "b.npy"), np.concatenate([parts[0], parts[2]], 1).astype(np.float32))
    for arguments, message in [
        ([tmp_path / "z*.npy"], "no file matches"),
        ([tmp_path / "0.npy", "--dtype", "floaty"], "NumPy has no data type 'floaty'"),
        ([tmp_path / "0.npy", "--memory", "1KiB"], "Give --memory 68KiB"),
        ([tmp_path / "0.npy", tmp_path / "b.npy"], "all the input array dimensions except"),
    ]:
        assert message in run("concat", *arguments, "--out", tmp_path / "c.npy", code=1).stderr


def test_inspect_draws_what_is_stored_beside_what_the_model_sees(pictures, tmp_path):
    out = tmp_path / "grid.png"
    done = run("inspect", pictures, "--rows", 3, "--draws", 2, "--image-size", 48, "--out", out)
    assert "grid.png: 3 rows; left as stored, then 2 random views as in training" in done.stdout
    assert "RandomResizedCrop(48" in done.stdout
    sheet = np.asarray(Image.open(out).convert("RGB"))
    assert sheet.shape == (6 + 3 * 180, 6 + 3 * 166, 3)
    for i in range(3):  # no tile is empty, and the two drawings differ
        top = 6 + i * 180 + 14
        tiles = [sheet[top : top + 144, 6 + j * 166 : 6 + j * 166 + 144].astype(int) for j in range(3)]
        assert all(tile.std() > 10 for tile in tiles)
        assert np.abs(tiles[1] - tiles[2]).mean() > 1


def test_inspect_shows_what_a_run_was_trained_on_and_what_cannot_be_read(pictures, trained, tmp_path):
    folder = tmp_path / "photos" / "a"
    folder.mkdir(parents=True)
    write_jpeg(folder / "good.jpg", noise(40, 50))
    (folder / "bad.jpg").write_bytes(b"no image")
    done = run("inspect", tmp_path / "photos", "--run", trained[0], "--out", tmp_path / "grid.jpg")
    assert "grid.jpg: 2 rows; left as stored" in done.stdout
    assert "Scale" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--rows", 5000, "--out", "a.png"], "--rows can be at most 90"),
        (["--out", "{folder}.png"], "is a folder"),
        (["--out", "grid.gif"], "must end in"),
        (["--out", "nowhere/grid.png"], "does not exist"),
        (["--rows", "0"], "at least 1"),
    ],
)
def test_inspect_refuses_before_it_reads(pictures, arguments, problem, tmp_path):
    (tmp_path / "folder.png").mkdir()
    filled = [str(word).format(folder=tmp_path / "folder") for word in arguments]
    assert problem in run("inspect", pictures, *filled, code=1).stderr


def test_models_lists_what_train_takes_and_counts_the_parameters_of_one():
    shown = run("models").stdout
    for name in (
        "cnn",
        "MobileNetV2",
        "ResNet50",
        "file.py:function",
        "with pixels of -1 to 1",
        "with pixels BGR, the mean",
    ):
        assert name in shown
    assert {"mlp", "cnn", "VGG16"} <= set(json.loads(run("models", "--json").stdout)["models"])
    described = json.loads(run("models", "VGG16", "--json").stdout)
    assert described == {"name": "VGG16", "parameters": 14_714_688, "pixels": "BGR, the mean of ImageNet subtracted"}


def test_a_run_whose_settings_say_pretrained_is_evaluated_as_before(trained, pictures, tmp_path):
    shutil.copytree(trained[0], tmp_path / "old")
    config = json.loads((tmp_path / "old" / "config.json").read_text())
    settings = config["settings"]
    settings["pretrained"] = settings.pop("weights")
    settings["weights"] = settings.pop("sample_weights")
    del settings["frozen_epochs"]
    (tmp_path / "old" / "config.json").write_text(json.dumps(config))
    before, now = (json.loads(run("evaluate", out, pictures, "--json").stdout) for out in (trained[0], tmp_path / "old"))
    assert now == before
