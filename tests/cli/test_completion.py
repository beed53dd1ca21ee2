"""Shell completion, by a real bash."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bitesize.cli.completion import join_words
from bitesize.packages import is_installed

# Lines up to the cursor, each with what bash offers.
LINES = {
    "bitesize tr": ["train"],
    "bitesize train --model Mobile": ["MobileNet", "MobileNetV2", "MobileNetV3Large", "MobileNetV3Small"],
    "bitesize train --task ": ["auto", "classify", "multilabel", "regress", "segment"],
    "bitesize train --task = cl": ["classify"],
    "bitesize evaluate ": ["runs/latest", "runs/2", "runs/10", "runs/best"],
    "bitesize train houses.csv --labels p": ["price", "pool"],
    "bitesize train houses.csv --labels price,r": ["price,rooms"],
    "bitesize train photos --axes D": ["DHW", "DHWC"],
    "bitesize train phot": [],  # bash completes files
}
SCRIPT = """
eval "$(bitesize --show-completion)"
complete -p bitesize >&2
while IFS= read -r line; do
    IFS=' ' read -r -a COMP_WORDS <<< "$line"
    case "$line" in *' ') COMP_WORDS+=("");; esac
    COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 )); COMPREPLY=()
    _bitesize_completion bitesize
    (IFS='|'; echo "${COMPREPLY[*]}")
done
"""


def test_bash_completes_commands_options_values_runs_and_columns(tmp_path):
    bash = shutil.which("bash")
    if bash is None or sys.platform == "win32" or not is_installed("keras"):
        pytest.skip("no bash, or no models to complete")
    program = tmp_path / "bin" / "bitesize"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nfrom bitesize.cli.app import main\nmain()\n")
    program.chmod(0o755)
    for name in ("2", "10", "best", "unfinished"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        if name != "unfinished":
            (tmp_path / "runs" / name / "config.json").write_text("{}")
    (tmp_path / "houses.csv").write_text("price,pool,p$(touch gone),p q,rooms\n1,2,3,4,5\n")
    environment = {**os.environ, "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [bash, "--norc", "-c", SCRIPT], input="\n".join(LINES) + "\n", cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert "-o default" in done.stderr, done.stderr  # files where bitesize offers nothing
    found = [line.split("|") if line else [] for line in done.stdout.splitlines()]
    assert dict(zip(LINES, found, strict=True)) == LINES
    assert not (tmp_path / "gone").exists()


def test_completion_loads_no_numbers_and_no_framework(tmp_path):
    program = """
import sys
from bitesize.cli.app import main
try:
    main()
except SystemExit:
    print({"numpy", "numba", "keras", "torch", "jax"} & set(sys.modules))
"""
    environment = {
        **os.environ,
        "_BITESIZE_COMPLETE": "complete_bash",
        "COMP_WORDS": "bitesize\ntrain\n--model\n",
        "COMP_CWORD": "3",
    }
    found = subprocess.run(
        [sys.executable, "-c", program.replace("import sys\n", "import sys\nsys.argv = ['bitesize']\n")],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "mlp" in found
    assert found.endswith("set()\n")


@pytest.mark.parametrize(
    ("words", "at", "joined", "now"),
    [
        (["bitesize", "train", "--task", "=", "c"], 4, ["bitesize", "train", "--task", "c"], 3),
        (["bitesize", "train", "--task", "="], 3, ["bitesize", "train", "--task", ""], 3),
        (["bitesize", "train", "--task", "=", "c", "--m"], 5, ["bitesize", "train", "--task", "c", "--m"], 4),
        (["bitesize", "train", "--m"], 2, ["bitesize", "train", "--m"], 2),
    ],
)
def test_a_sign_between_option_and_value_is_no_word(words, at, joined, now, monkeypatch):
    monkeypatch.setenv("_BITESIZE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "\n".join(words))
    monkeypatch.setenv("COMP_CWORD", str(at))
    join_words()
    assert os.environ["COMP_WORDS"].split("\n") == joined
    assert int(os.environ["COMP_CWORD"]) == now


def test_installing_writes_to_the_home_folder_alone(tmp_path):
    if shutil.which("bash") is None or sys.platform == "win32":
        pytest.skip("no bash")
    environment = {**os.environ, "HOME": str(tmp_path)}
    subprocess.run(
        ["bash", "--norc", "-c", f"{sys.executable} -m bitesize --install-completion; true"], env=environment, check=True
    )
    assert "_BITESIZE_COMPLETE=complete_bash" in (tmp_path / ".bash_completions" / "bitesize.sh").read_text()
    assert Path(tmp_path / ".bashrc").read_text().count("bitesize.sh") == 1
