"""The command line speaks of its options, and the library of its settings."""

import re

import numpy as np
import pytest
from rich.console import Console

import bitesize as bs
from bitesize.cli import console
from bitesize.cli.console import in_options, in_seconds
from bitesize.sources import registry
from bitesize.training.classes import with_classes
from bitesize.training.data import named


def test_a_verdict_names_the_options():
    said = "rows are small: a larger batch_size reduces Python's overhead per row"
    assert "a larger --batch-size reduces" in in_options(said)
    assert in_options("threads=8 would use all processors") == "--threads 8 would use all processors"


def test_a_short_time_is_not_0_seconds():
    assert [in_seconds(time) for time in (0.0123, 0.5, 3.14, 4000.0)] == ["0.012 s", "0.5 s", "3.1 s", "4,000.0 s"]


def test_a_missing_package_is_said_in_a_whole_sentence(monkeypatch):
    kind = type("Kind", (), {"title": "Parquet files", "package": "a_package_that_is_nowhere"})
    with pytest.raises(bs.MissingPackage, match=r"^Parquet files need a_package_that_is_nowhere: pip install"):
        registry.need(kind)


def test_a_plan_shows_its_table():
    with bs.Loader(bs.open(np.zeros((20, 4)), [0, 1] * 10), batch_size=5, memory="16 MiB") as loader:
        assert repr(loader.plan) == str(loader.plan)
        assert "\n  batch buffers " in repr(loader.plan)


def test_a_terminal_breaks_lines_between_words_and_leaves_paths_whole(monkeypatch, capsys):
    words, path = " ".join(f"word{i}" for i in range(30)), "/".join(["folder"] * 20)
    for terminal, text, lines in ((True, words, 3), (True, f"{words} {path}", 1), (False, words, 1)):
        monkeypatch.setattr(console, "console", Console(width=80, force_terminal=terminal, color_system=None))
        console.say(text)
        printed = capsys.readouterr().out.splitlines()
        assert len(printed) == lines
        assert " ".join(line.strip() for line in printed) == text


def test_data_without_labels_are_refused_in_words_of_python_and_of_the_command_line():
    said = re.escape(
        "the data has no classes: its only field is x. Labels are found in a field y or label, or by labels=NAME"
    )
    with pytest.raises(bs.BadSetting, match=f"^{said}$") as caught:
        with_classes(bs.open(np.zeros((4, 8, 8, 3))), None, named(np.zeros(3)))
    assert in_options(str(caught.value)).endswith("or by --labels NAME")


def test_options_of_storages_are_named_as_on_the_command_line():
    said = in_options("no permission for s3://bucket/x (403): check the credentials, or anonymous=True in storage_options")
    assert said.endswith("check the credentials, or --storage-option anonymous=true")
    said = in_options("in another region, eu-west-1 (301): set storage_options={'region': 'eu-west-1'}, or AWS_REGION")
    assert said.endswith("set --storage-option region=eu-west-1, or AWS_REGION")
    assert "up to 60 s (--storage-option deadline=...)" in in_options("up to 60 s (deadline in storage_options)")


def test_numbers_or_classes_are_a_task_on_the_command_line(tmp_path):
    (tmp_path / "x.csv").write_text("a,b,price\n" + "".join(f"{i},{i % 7},{i + 0.5}\n" for i in range(30)))
    source = bs.open(tmp_path / "x.csv", labels="price")
    said = [in_options(str(choice)) for choice in source.choices]
    source.close()
    assert "price: numbers with decimals, used as targets (--task classify of train changes this)" in said


def test_a_call_with_labels_is_an_argument_and_an_option():
    assert in_options("for masks use bs.open('a/images', labels='a/masks')") == "for masks use 'a/images' --labels 'a/masks'"


def test_pages_are_an_option():
    assert in_options('(pages="rows" changes this); pages= of bs.open reads more') == (
        '(--pages "rows" changes this); --pages reads more'
    )
