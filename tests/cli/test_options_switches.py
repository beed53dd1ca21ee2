"""Every setting of `bitesize.open` has its switch on every command that opens data, and what it chose is printed."""

from __future__ import annotations

import dataclasses
import json
import shlex
import shutil

import numpy as np
import pytest
import typer
from PIL import Image
from tests.cli.test_train_values import refused, run

from bitesize.cli.alone import refuse_several_processes
from bitesize.cli.console import command, in_options
from bitesize.cli.options import Opening, parse_fields
from bitesize.cli.train_options import RunOptions, TrainOptions
from bitesize.errors import BadSetting
from bitesize.training.settings import TrainSettings

SWITCHES = ("--labels", "--split", "--fields", "--mode", "--no-orient", "--sample-weights", "--tag-delimiter", "--file-is-row",
            "--no-file-is-row", "--labels-as")  # fmt: skip
COMMANDS = ("train", "evaluate", "predict", "plan", "check", "stats", "inspect", "bench", "pack")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    top = tmp_path_factory.mktemp("switches")
    random = np.random.default_rng(0)
    for i in range(24):
        path = top / "data" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(100 * (i % 2), 100 * (i % 2) + 100, (20, 20, 3), np.uint8)).save(path)
    (top / "data" / "a" / "phone.JXL").write_bytes(b"\xff\x0a" + bytes(99))
    return top / "data"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_every_switch(name):
    shown = run(name, "--help", env_columns=200).output
    assert [switch for switch in SWITCHES if switch not in shown] == []


def test_gray_images_are_trained_and_used_gray(photographs, tmp_path):
    out = tmp_path / "run"
    run("train", photographs, "--mode", "L", "--image-size", 16, "--model", "mlp", "--epochs", 1, "--out", out)
    config = json.loads((out / "config.json").read_text())
    assert (config["input_shape"], config["settings"]["mode"]) == ([16, 16, 1], "L")
    assert json.loads(run("evaluate", out, photographs, "--json").stdout)["rows"] == 24
    run("predict", out, photographs, "--out", tmp_path / "p.csv")
    assert "use --mode L to decode images that way" in refused("evaluate", out, photographs, "--mode", "RGB")
    assert "mode" in refused("train", photographs, "--mode", "no")


def test_what_is_left_out_is_said_by_every_command(photographs, tmp_path):
    out = tmp_path / "run"
    train = run("train", photographs, "--image-size", 16, "--model", "mlp", "--epochs", 1, "--out", out)
    others = [
        run("evaluate", out, photographs),
        run("plan", photographs),
        run("stats", photographs),
        run("inspect", photographs, "--out", tmp_path / "grid.png"),
        run("bench", photographs, "--seconds", 0.1),
        run("check", photographs),
    ]
    for done in (train, *others):
        assert "left out  1 " in done.stdout, done.stdout
    done = run("predict", out, photographs, "--out", tmp_path / "p.csv")
    assert "1 row has no prediction; the column error has the reason" in done.stdout
    assert "phone.JXL: JPEG XL is not supported" in done.stdout


def test_fields_are_read_as_people_write_them():
    assert parse_fields("a, b") == ["a", "b"]
    assert parse_fields("x=image,y=label") == {"x": "image", "y": "label"}
    for text in ("", "a,,b", "x=image,b", "x="):
        with pytest.raises(typer.BadParameter, match="takes names"):
            parse_fields(text)


def test_fields_choose_what_is_trained_on(tmp_path):
    x = np.zeros((12, 4, 4, 3), np.uint8)
    np.savez(tmp_path / "two.npz", left=x, right=np.ones((12, 5, 5, 3), np.uint8), kind=np.arange(12) % 3)
    options = ["--fields", "x=right,y=kind", "--model", "mlp", "--epochs", 1, "--out", tmp_path / "run"]
    run("train", tmp_path / "two.npz", *options)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["input_shape"] == [5, 5, 3]
    run("evaluate", tmp_path / "run", tmp_path / "two.npz")
    run("predict", tmp_path / "run", tmp_path / "two.npz", "--out", tmp_path / "p.csv")


def test_printed_commands_can_be_pasted():
    words = shlex.split(command("train", "--resume", "--out", "运行 1's"))
    assert words[-1] == "运行 1's"
    assert in_options('choose by labels="kind", or split=') == 'choose by --labels "kind", or --split'


@pytest.mark.parametrize("variable", ["WORLD_SIZE", "PMI_SIZE"])
def test_several_processes_that_cannot_reach_each_other_are_refused(photographs, monkeypatch, variable):
    monkeypatch.setenv(variable, "2")
    message = refused("train", photographs)
    assert f"{variable} is 2, but nothing says how the processes reach each other" in message
    assert "start them with torchrun" in message


def test_of_several_processes_all_that_work_or_write_are_refused():
    for name in ("evaluate", "predict", "bench", "check", "stats", "inspect", "concat", "demo"):
        for variable in ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS", "JAX_NUM_PROCESSES"):
            with pytest.raises(BadSetting, match=f"bitesize {name} runs in one process, but {variable} is 2"):
                refuse_several_processes(name, {variable: "2"})
            refuse_several_processes(name, {variable: "1"})
    refuse_several_processes("pack", {"SLURM_NTASKS": "4"})  # a batch script of one process
    refuse_several_processes("train", {"WORLD_SIZE": "2"})  # its processes train together
    refuse_several_processes("formats", {"WORLD_SIZE": "2"})


def test_the_options_of_train_are_its_settings_with_the_same_defaults():
    settings = dataclasses.asdict(TrainSettings("data"))
    options = TrainOptions().settings | {"checkpoint_every": RunOptions().checkpoint_every}
    opening = {field.name: field.default for field in dataclasses.fields(Opening)}
    del opening["listing"]  # of the process
    del opening["storage_option"]  # of the process, and not recorded: it may be a secret
    assert options.keys() | opening.keys() | {"data", "fold"} == settings.keys()
    assert options == {name: settings[name] for name in options}


def test_labels_as_belongs_to_the_run_but_not_to_data_without_annotations(photographs, tmp_path):
    files = sorted((photographs).rglob("*.png"))
    content = {
        "images": [{"id": i, "file_name": path.relative_to(photographs).as_posix()} for i, path in enumerate(files)],
        "annotations": [{"image_id": i, "category_id": path.parent.name} for i, path in enumerate(files)],
        "categories": [{"id": name, "name": name} for name in "ab"],
    }
    labels = tmp_path / "labels.json"
    labels.write_text(json.dumps(content), encoding="utf-8")
    shown = json.loads(run("info", photographs, "--labels", labels, "--labels-as", "tags", "--json").stdout)
    assert shown["fields"][1]["what"] == "(2,) float32"
    out = tmp_path / "run"
    options = ["--labels", labels, "--labels-as", "class", "--image-size", 16, "--model", "mlp", "--epochs", 1]
    run("train", photographs, *options, "--out", out)
    assert json.loads((out / "config.json").read_text())["settings"]["labels_as"] == "class"
    assert json.loads(run("evaluate", out, photographs, "--labels", labels, "--json").stdout)["rows"] == 24
    assert json.loads(run("evaluate", out, photographs, "--json").stdout)["rows"] == 24  # class folders
    run("predict", out, photographs, "--out", tmp_path / "p.csv")
    run("evaluate", out, photographs, "--labels-as", "class")  # its own data, with the labels of the run
    other = shutil.copytree(photographs, tmp_path / "other")
    assert "is for images with annotated objects" in refused("evaluate", out, other, "--labels-as", "class")
    assert "labels_as='masks' is for" in refused("train", photographs, "--labels-as", "masks")
