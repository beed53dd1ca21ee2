"""`bitesize plan` plans what `bitesize train` runs, and names the same figures in the same words."""

import json
import re

import numpy as np
import pytest
from PIL import Image
from tests.cli.running import run, run_alone
from tests.conftest import noise, write_jpeg

SMALL = ("--image-size", 64, "--memory", "18MB")


@pytest.fixture
def files(tmp_path):
    """Forty photographs of two classes."""
    for i in range(40):
        write_jpeg(tmp_path / "files" / ("cat", "dog")[i % 2] / f"{i:02}.jpg", noise(120, 160, seed=i))
    return tmp_path / "files"


def refusal(*arguments):
    error = run(*arguments, code=1).stderr
    return error[error.index("error:") :].strip()


def test_plan_and_train_refuse_with_the_same_figures_in_the_words_of_the_command_line(files, tmp_path):
    said = refusal("plan", files, *SMALL)
    assert said == refusal("train", files, *SMALL, "--out", tmp_path / "run")
    assert said.startswith("error: Loading for training and validation needs ")
    smaller, larger = re.search(r"Lower --batch-size to (\d+) or give --memory (\S+)\.$", said).groups()
    for advice in (("--batch-size", smaller, "--memory", "18MB"), ("--memory", larger)):
        run("train", files, "--image-size", 64, "--epochs", 1, *advice, "--model", "mlp", "--out", tmp_path / advice[1])


def test_the_least_memory_that_plan_names_is_that_of_training(files, tmp_path):
    least = re.search(r"needs at least --memory (\S+)\.", run("plan", files, "--image-size", 64).stdout)[1]
    shown = run(
        "train", files, "--image-size", 64, "--memory", least, "--epochs", 1, "--model", "mlp", "--out", tmp_path / "run"
    )
    assert "bitesize fits" in shown.stdout


def test_plan_and_train_show_one_table(files, tmp_path):
    options = ("--image-size", 64, "--memory", "64MiB")
    planned = run("plan", files, *options).stdout.splitlines()
    shown = run("train", files, *options, "--epochs", 1, "--model", "mlp", "--out", tmp_path / "run").stdout.splitlines()
    table = [line for line in planned if re.match(r"  (batch buffers|index|decoding|validation|total) ", line)]
    assert len(table) == 5
    assert [line for line in table if line not in shown] == []


def test_plan_and_train_choose_the_same_number_of_epochs_and_say_so(files, tmp_path):
    options = ("--image-size", 16, "--batch-size", 12)
    planned, told = run("plan", files, *options).stdout, json.loads(run("plan", files, *options, "--json").stdout)
    chosen = "epochs: 50, for 150 steps of 3 batches each; --epochs sets it"
    assert chosen in planned
    assert told["epochs"] == 50
    shown = run("train", files, *options, "--model", "mlp", "--early-stopping", 2, "--out", tmp_path / "run").stdout
    assert chosen in shown
    settings = json.loads((tmp_path / "run" / "config.json").read_text())["settings"]
    assert (settings["epochs"], settings["early_stopping"]) == (50, 2)


def test_other_commands_name_the_options_too(files):
    said = refusal("bench", files, "--image-size", 512, "--memory", "12MB")
    assert "ower --batch-size to" in said or "give --memory " in said
    assert not re.search(r"(batch_size|aise memory)", said)


@pytest.mark.parametrize("damage", [b"", b"\xff\xd8\xff no image", None])
def test_a_damaged_first_file_is_said_instead_of_a_plan(files, damage):
    first = files / "cat" / "00.jpg"
    first.write_bytes(first.read_bytes()[:-300] if damage is None else damage)
    done = run("plan", files, code=1)
    assert "00.jpg" in done.stderr
    assert "bitesize check DATA lists all" in done.stderr
    assert "total" not in done.stdout


def test_a_machine_with_less_memory_can_be_planned_for(tmp_path):
    for i in range(8):
        (tmp_path / f"{i % 2}").mkdir(exist_ok=True)
        Image.fromarray(np.zeros((3000, 3000, 3), np.uint8)).save(tmp_path / f"{i % 2}" / f"{i}.jpg", quality=10)
    shown = re.sub(r"\s+", " ", run_alone("plan", tmp_path, "--ram", "1GiB", "--batch-size", 1, "--image-size", 32).stdout)
    assert re.search(
        r"On a machine with 1\.0 GiB, loading everything at once fails at row [45] of 6 \(2\.4 GiB needed: a list and its array",
        shown,
    ), shown
    plan = json.loads(run("plan", tmp_path, "--ram", "8TiB", "--batch-size", 1, "--image-size", 32, "--json").stdout)
    assert plan["limit"]["name"] == "a machine with 8.0 TiB"
    assert plan["budget"] > 1 << 40


def test_data_that_training_would_refuse_is_planned_alone_and_the_reason_said(tmp_path):
    for i in range(8):
        np.save(tmp_path / f"{i}.npy", np.zeros((4, 4), np.float32))
    shown = re.sub(r"\s+", " ", run("plan", tmp_path, "--batch-size", 4).stdout)
    assert "8 rows, 2 batches of 4" in shown
    assert "bitesize train cannot use this data: " in shown
    assert "has no classes" in shown


def test_rows_that_sit_out_are_said_with_the_option_that_leaves_out_fewer(files):
    shown = " ".join(run("plan", files, "--image-size", 16, "--batch-size", 25).stdout.split())
    assert "do not fill a batch of 25 and are left out (a smaller --batch-size leaves out fewer)" in shown
    assert "last=" not in shown


@pytest.mark.slow  # builds MobileNetV2
def test_pretrained_weights_are_planned_as_they_are_trained(files):
    options = ("--image-size", 64, "--batch-size", 2, "--json")
    chosen = json.loads(run("plan", files, *options, "--model", "MobileNetV2", "--weights", "imagenet").stdout)
    from_scratch = json.loads(run("plan", files, *options).stdout)
    assert chosen["epochs"] < from_scratch["epochs"]  # less is to be learned


@pytest.mark.parametrize("wrong", [("--weights", "imagenet"), ("--model", "MobileNetV2", "--weights", "count")])
def test_weights_that_training_refuses_are_refused_by_plan_in_the_same_words(files, tmp_path, wrong):
    said = refusal("plan", files, *wrong)
    assert said.startswith("error: --weights ")
    assert said == refusal("train", files, *wrong, "--out", tmp_path / "run")
