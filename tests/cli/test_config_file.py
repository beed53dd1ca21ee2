"""`bitesize train --config FILE`, and `--print-config`."""

import json

import numpy as np
import pytest
from tests.cli.running import run


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
    pytest.importorskip("yaml")
    # JSON is YAML, too.
    (table / name).write_text(
        '{"data": "houses.csv", "labels": "price", "learning-rate": 0.01, "epochs": 3, "augment": false}'
    )
    found = printed("--config", name, "--epochs", 5, cwd=table)
    assert (found["data"], found["labels"], found["learning_rate"]) == ("houses.csv", "price", 0.01)
    assert (found["epochs"], found["augment"], found["batch_size"]) == ("5", False, "32")


def test_what_is_printed_is_a_file_of_settings_again(table):
    pytest.importorskip("yaml")
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
    ("name", "content", "code", "message"),
    [
        ("a.json", '{"epoch": 3}', 2, "unknown setting 'epoch': did you mean epochs?"),
        ("a.json", '{"qqqq": 3}', 2, "the settings are"),
        ("a.json", '{"config": "b.json"}', 2, "unknown setting 'config'"),
        ("a.json", '["epochs"]', 1, "must have names and values"),
        ("a.json", '{"epochs": ', 1, "is not JSON"),
        ("a.json", '{"learning_rate": "fast"}', 2, "--learning-rate"),
        ("a.yaml", "epochs: [", 1, "is not YAML"),
    ],
)
def test_mistakes_are_errors_that_name_the_file(table, name, content, code, message):
    if name.endswith("yaml"):
        pytest.importorskip("yaml")
    (table / name).write_text(content)
    ended = run("train", "houses.csv", "--config", name, code=code, cwd=table)
    assert message in " ".join((ended.stdout + ended.stderr).replace("│", " ").split())


def test_a_file_that_is_missing_is_an_error(table):
    assert (
        "--config gone.yaml does not exist" in run("train", "houses.csv", "--config", "gone.yaml", code=1, cwd=table).stderr
    )
