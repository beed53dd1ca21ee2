"""`bitesize train --config FILE`, and `--print-config`."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.cli.running import run

from bitesize.cli.config_file import _as_yaml, settings_of_file


@pytest.fixture
def table(tmp_path):
    random = np.random.default_rng(0)
    rows = [f"{a:.3f},{b:.3f},{1000 * a + b:.2f}" for a, b in random.random((40, 2))]
    (tmp_path / "houses.csv").write_text("a,b,price\n" + "\n".join(rows) + "\n")
    return tmp_path


def printed(*words, cwd):
    lines = run("train", *words, "--print-config", cwd=cwd).stdout.splitlines()
    return {name: json.loads(value) for name, _, value in (line.partition(": ") for line in lines)}


@pytest.mark.parametrize("name", ["run.yaml", "run.json"])
def test_options_of_the_command_line_win_over_those_of_the_file(table, name):
    # JSON is YAML, too.
    (table / name).write_text(
        '{"data": "houses.csv", "labels": "price", "learning-rate": 0.01, "epochs": 3, "augment": false}'
    )
    found = printed("--config", name, "--epochs", 5, cwd=table)
    assert (found["data"], found["labels"], found["learning_rate"]) == ("houses.csv", "price", 0.01)
    assert (found["epochs"], found["augment"], found["batch_size"]) == (5, False, 32)


def test_what_is_printed_is_a_file_of_settings_again(table):
    words = ["houses.csv", "--labels", "price", "--model", "mlp", "--no-augment", "--fields", "a,b,price"]
    text = run("train", *words, "--print-config", cwd=table).stdout
    (table / "again.yaml").write_text(text)
    assert run("train", "--config", "again.yaml", "--print-config", cwd=table).stdout == text


def test_a_run_is_repeated_with_its_config_from_any_folder(table, tmp_path_factory):
    pytest.importorskip("keras")
    options = ["--labels", "price", "--epochs", 2, "--learning-rate", 0.02, "--seed", 3, "--out", "first"]
    first = json.loads(run("train", "houses.csv", *options, "--json", cwd=table).stdout)
    other = tmp_path_factory.mktemp("other")
    again = run("train", "--config", table / "first" / "config.json", "--out", "again", "--json", cwd=other)
    assert json.loads(again.stdout)["epochs"][-1]["loss"] == pytest.approx(first["epochs"][-1]["loss"], rel=1e-6)


@pytest.mark.parametrize(
    ("content", "name", "value"),
    [
        ('epochs: "20"', "epochs", 20),
        ("epochs: 20  # a comment", "epochs", 20),
        ("batch-size: auto", "batch_size", "auto"),
        ("labels: no", "labels", "no"),  # YAML would read false
        ("labels: 007", "labels", "007"),  # an octal number
        ("split: 2024-01-01", "split", "2024-01-01"),  # a date
        ("memory: 1:30", "memory", None),  # 90
        ("augment: no", "augment", False),
        ("augment: false", "augment", False),
        ("class_weights: yes", "class_weights", True),
        ("learning_rate: 1e-3", "learning_rate", 0.001),
        ("labels: [a, price]", "labels", "a,price"),
        ("labels:\n  - a\n  - price", "labels", "a,price"),
        ("fields: {x: a, y: price}", "fields", "x=a,y=price"),
        ("image_size: null\nseed: 3", "seed", 3),
        ("image_size:\nseed: 3", "seed", 3),
        ("labels: caf\u00e9 \U0001f600", "labels", "caf\u00e9 \U0001f600"),
        ("\ufeffseed: 3\r\nepochs: 4\r\n", "seed", 3),
        ("out: runs/first", "out", "runs/first"),
        ("workers: 2..8", "workers", "2..8"),
        ("folds: 3", "folds", 3),
    ],
)
def test_values_of_yaml_are_text_as_on_the_command_line(table, content, name, value):
    (table / "run.yaml").write_bytes(content.encode())
    if value is None:
        assert "1:30" in run("train", "houses.csv", "--config", "run.yaml", "--print-config", code=1, cwd=table).stderr
    else:
        assert printed("houses.csv", "--config", "run.yaml", cwd=table)[name] == value


def test_options_that_are_repeated_are_lists_or_names_with_values():
    assert settings_in("storage_option: {region: eu, anonymous: true}") == {
        "storage_option": {"region": "eu", "anonymous": "true"}
    }


@pytest.mark.parametrize(
    ("name", "content", "code", "message"),
    [
        ("a.json", '{"epoch": 3}', 2, "unknown setting 'epoch': did you mean epochs?"),
        ("a.json", '{"qqqq": 3}', 2, "the settings are"),
        ("a.json", '{"config": "b.json"}', 2, "unknown setting 'config'"),
        ("a.json", '["epochs"]', 1, "must have names and values"),
        ("a.json", '{"epochs": ', 1, "is not JSON"),
        ("a.json", '{"epochs": 1, "epochs": 2}', 1, "has the setting epochs twice"),
        ("a.json", '{"learning_rate": "fast"}', 2, "a.json has learning_rate: fast"),
        ("a.json", '{"labels": [["a"]]}', 1, "labels must be a value, a list of values"),
        ("a.json", "[" * 100_000, 1, "a.json"),
        ("a.json", '{"schema": 2, "settings": {"epochs": 2}}', 1, "has no settings of a run"),
        ("a.yaml", "epochs: [", 1, "is not YAML"),
        ("a.yaml", "", 1, "must have names and values"),
        ("a.yaml", "batch-size: 8\nbatch_size: 9", 1, "has the setting batch_size twice"),
        ("a.yaml", "epochs: 2.5", 2, "'--epochs': must be a whole number or auto, not '2.5'"),
        ("a.yaml", "augment: perhaps", 2, "a.yaml has augment: perhaps"),
        ("a.yaml", "folds: 2.5", 2, "a.yaml has folds: 2.5"),
        ("a.yaml", "on_error: ignore", 2, "'--on-error': must be raise or skip, not 'ignore'"),
        ("a.yaml", "model: {a: {b: c}}", 1, "model must be a value, a list of values"),
        ("a.yaml", "a: &a [x, x]\nlabels: [*a, *a]", 1, "must be a value, a list of values"),
        ("a.yaml", "model: !!python/object/apply:os.system [exit]", 1, ""),
        ("a.yaml", "x" * (1 << 20) + "x", 1, "is larger than 1 MiB"),
        ("a.yaml", b"labels: \xff\xfe", 1, "cannot be read"),
    ],
)
def test_mistakes_are_errors_that_name_the_file(table, name, content, code, message):
    (table / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    ended = run("train", "houses.csv", "--config", name, code=code, cwd=table)
    assert message in ended.stderr
    assert not (table / "runs").exists()


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("gone.yaml", "--config gone.yaml does not exist"),
        (".", "config.json does not exist"),
        ("s3://b/run.yaml", "is an address"),
    ],
)
def test_a_file_that_is_missing_is_an_error(table, file, message):
    assert message in run("train", "houses.csv", "--config", file, code=1, cwd=table).stderr


def test_print_config_checks_settings_and_touches_nothing(table):
    assert "at least 1" in run("train", "houses.csv", "--epochs", 0, "--print-config", code=1, cwd=table).stderr
    before = sorted(table.rglob("*"))
    printed("gone.csv", "--out", "runs/first", cwd=table)
    assert sorted(table.rglob("*")) == before


@given(st.text(st.characters(exclude_characters="\0"), min_size=1))
def test_what_is_printed_is_read_as_it_was(text):
    assert settings_in(f"labels: {_as_yaml(text)}\n") == {"labels": text}


def settings_in(text):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.yaml"
        path.write_bytes(text.encode("utf-8", "backslashreplace"))
        return settings_of_file(str(path))


def test_a_run_of_an_estimator_is_repeated_by_the_name_of_its_folder(table):
    pytest.importorskip("skops")
    (table / "kinds.csv").write_text("a,kind\n" + "".join(f"{i / 40},{'xy'[i % 2]}\n" for i in range(40)))
    run("train", "kinds.csv", "--model", "sklearn:GaussianNB", "--epochs", 1, "--out", "first", cwd=table)
    again = run("train", "--config", "first", "--out", "again", "--seed", 5, "--json", cwd=table)
    assert json.loads(again.stdout)["out"] == "again"
    settings = json.loads((table / "again" / "config.json").read_text())["settings"]
    assert (settings["model"], settings["epochs"], settings["seed"]) == ("sklearn:GaussianNB", 1, 5)


def test_the_config_of_an_old_run_and_of_a_newer_one(table):
    old = Path(__file__).parents[1] / "golden" / "v1" / "run" / "config.json"
    assert settings_of_file(str(old))["epochs"] == "2"
    newer = json.loads(old.read_text())
    newer["settings"]["levitate"] = True
    (table / "config.json").write_text(json.dumps(newer))
    ended = run("train", "--config", "config.json", "--print-config", cwd=table)
    assert "does not have: levitate" in ended.stderr
    assert "levitate" not in ended.stdout
