"""Output survives any locale: what cannot be printed is escaped, never a traceback, and JSON stays JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

CLASSES = ["犬é😀", "猫 Cats"]
LOCALES = {
    "LANG=C": {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "utf-8": {"PYTHONIOENCODING": "utf-8"},
}
COMMANDS = [
    ["info", "照片"], ["info", "照片", "--json"], ["plan", "照片"], ["plan", "照片", "--json"], ["check", "照片"],
    ["check", "照片", "--json"], ["stats", "照片"], ["stats", "照片", "--json"], ["inspect", "照片", "--out", "格.png", "--rows", "2", "--overwrite"],
    ["formats"], ["formats", "--json"], ["bench", "照片", "--seconds", "0.1"], ["bench", "照片", "--seconds", "0.1", "--json"],
    ["concat", "部*.npy", "--out", "合.npy", "--overwrite"], ["concat", "部*.npy", "--out", "合.npy", "--overwrite", "--json"], ["--help"], ["train", "--help"],
    ["info", "没有😀"], ["info", "--没有"],
]  # fmt: skip
TRAINING = [
    ["train", "照片", "--epochs", "1", "--image-size", "16", "--model", "mlp", "--out", "跑"],
    ["train", "照片", "--epochs", "1", "--image-size", "16", "--model", "mlp", "--out", "跑二", "--json"],
    ["evaluate", "跑", "照片"], ["evaluate", "跑", "照片", "--json"], ["predict", "跑", "照片", "--out", "预.csv", "--overwrite"],
]  # fmt: skip
# All commands in one process, as they are run by hand; a line of ASCII behind each, with its exit code.
PROGRAM = """
import json, os, sys
from dataclasses import replace
from bitesize.cli import demo
from bitesize.cli.app import main
demo.PHOTOS = replace(demo.PHOTOS, count=40, arguments=("--image-size", "16", "--epochs", "1", "--model", "mlp"))
with open("commands.json", encoding="utf-8") as file:
    commands = json.load(file)
for arguments in commands:
    sys.argv = ["bitesize", *(os.fsdecode(argument.encode()) for argument in arguments)]  # as Python takes them from the system
    try:
        main()
    except SystemExit as ended:
        sys.stdout.write(f"\\n<<<{ended.code}>>>\\n")
        sys.stdout.flush()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    top = tmp_path_factory.mktemp("数据")
    random = np.random.default_rng(0)
    for name in CLASSES:
        (top / "照片" / name).mkdir(parents=True)
        for i in range(8):
            Image.fromarray(random.integers(0, 256, (20, 24, 3), np.uint8)).save(top / "照片" / name / f"图{i}.png")
    for i in range(2):
        np.save(top / f"部{i}.npy", np.zeros((3, 2)))
    return top


def outputs(folder: Path, locale: str, commands: list[list[str]]) -> list[tuple[list[str], int, str]]:
    """Run commands under a locale; return each with its exit code and what it printed."""
    (folder / "commands.json").write_text(json.dumps(commands), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=folder, capture_output=True, check=False, env={**os.environ, **LOCALES[locale]}
    )
    coding = LOCALES[locale].get("PYTHONIOENCODING", "ascii")
    stdout, stderr = done.stdout.decode(coding), done.stderr.decode(coding, "backslashreplace")
    assert done.returncode == 0, stderr
    assert "Traceback" not in stderr, stderr
    assert "Error'" not in stderr
    parts = stdout.split("<<<")
    codes = [int(part.split(">>>")[0].replace("None", "0")) for part in parts[1:]]
    texts = [parts[0], *(part.split(">>>", 1)[1] for part in parts[1:-1])]
    assert len(codes) == len(commands)
    return list(zip(commands, codes, texts, strict=True))


def check(results, locale):
    for command, code, text in results:
        expected = {"没有😀": 1, "--没有": 2}.get(command[-1], 0)
        assert code == expected, (command, text)
        if "--json" in command:
            assert text.isascii() or locale == "utf-8"
            found = json.loads(text)
            if command[0] == "evaluate":
                assert found["classes"] == CLASSES
            if command[0] == "plan":
                assert found["classes"] == CLASSES
            if command[0] == "train":
                assert found["out"] == "跑二"
    shown = dict.fromkeys(CLASSES, False)
    for command, _, text in results:
        if command == ["info", "照片"]:
            for name in CLASSES:
                coding = "utf-8" if locale == "utf-8" else LOCALES[locale].get("PYTHONIOENCODING", "ascii")
                shown[name] = name.encode(coding, "backslashreplace").decode(coding) in text
    assert all(shown.values())


def test_every_command_prints_under_a_western_locale(folder):
    check(outputs(folder, "cp1252", COMMANDS), "cp1252")


@pytest.mark.slow
@pytest.mark.parametrize("locale", ["LANG=C", "ascii", "utf-8"])
def test_every_command_prints_under_any_locale_training_too(folder, locale):
    for name in ("跑", "跑二"):
        assert not (folder / name).exists()
    commands = [*COMMANDS, *TRAINING]
    if locale == "LANG=C":
        commands.append(["demo", "--folder", "演示"])
    check(outputs(folder, locale, commands), locale)
    lines = (folder / "预.csv").read_text(encoding="utf-8-sig").splitlines()
    assert len(lines) == 17
    assert all(f"p_{name}" in lines[0] for name in CLASSES)
    for name in ("跑", "跑二"):
        for file in sorted((folder / name).rglob("*"), reverse=True):
            file.unlink() if file.is_file() else file.rmdir()
        (folder / name).rmdir()


def test_an_error_is_one_line_without_a_blank_one_before_it(folder):
    bad = folder / "坏的"
    bad.mkdir()
    (bad / "坏.png").write_bytes(b"\x89PNG damaged")
    done = subprocess.run(
        [sys.executable, "-m", "bitesize", "stats", str(bad)], capture_output=True, text=True, encoding="utf-8", check=False,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"}
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "坏.png" in done.stderr
