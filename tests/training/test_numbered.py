"""Numbers of runs: each is given once, whoever starts at the same time."""

import json
import subprocess
import sys

import pytest

import bitesize as bs
from bitesize.training.numbered import create_numbered, find_run, names_latest

START = """
import json, sys
from bitesize.training.numbered import create_numbered
runs = []
for _ in range(20):
    runs.append(create_numbered(sys.argv[1]))
    (runs[-1].path / "history.csv").write_text("")
print(json.dumps([run.path.name for run in runs]))
"""


def test_processes_that_start_at_once_get_numbers_of_their_own(tmp_path):
    processes = [
        subprocess.Popen([sys.executable, "-c", START, str(tmp_path / "runs")], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    numbers = [number for process in processes for number in json.loads(process.communicate(timeout=120)[0])]
    assert sorted(map(int, numbers)) == list(range(1, 61))


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(bs.BadFile, match="runs is a file"):
        create_numbered(tmp_path / "runs")


def test_only_a_name_that_no_folder_has_means_the_newest(tmp_path):
    assert not names_latest(tmp_path / "latest")
    (tmp_path / "1").mkdir()
    assert names_latest(tmp_path / "latest")
    assert find_run(tmp_path / "other") == tmp_path / "other"
    with pytest.raises(bs.NotFound, match="none of the 1 numbered runs"):
        find_run(tmp_path / "latest")
    (tmp_path / "latest").mkdir()
    assert find_run(tmp_path / "latest") == tmp_path / "latest"
