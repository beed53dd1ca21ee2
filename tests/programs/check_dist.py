"""Check the distributions of a release, ``python check_dist.py DIST FROM_TREE``: their files, and the wheel installed outside of the project.

``make dist`` builds the sdist and the wheel from it in ``DIST``, and the wheel from the working tree in ``FROM_TREE``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "bitesize"
# What a user does first; no optional package is installed.
PROGRAM = """
import os, sys
import bitesize as bs, numpy as np

assert not os.path.abspath(bs.__file__).startswith(sys.argv[1]), bs.__file__
rows = bs.open(np.arange(40.0).reshape(10, 4), np.arange(10) % 2)
with bs.Loader(rows, batch_size=5, memory="8 MiB") as loader:
    assert sum(len(batch["y"]) for batch in loader) == 10
print(bs.__version__)
"""


def main() -> None:
    """Raise on the first thing that does not hold."""
    folder, tree = (Path(argument).resolve() for argument in sys.argv[1:])
    (wheel,), (sdist,), (again,) = folder.glob("*.whl"), folder.glob("*.tar.gz"), tree.glob("*.whl")
    version = wheel.name.split("-")[1]
    _check_wheel(wheel)
    _check_same(wheel, again)
    _check_sdist(sdist)
    with tempfile.TemporaryDirectory() as place:
        _check_installed(wheel, Path(place).resolve(), version)
    print(f"{sdist.name} and {wheel.name} are complete, equal, and install")


def _check_wheel(wheel: Path) -> None:
    """Compare the files of the wheel with those of the package: modules, py.typed, stubs, templates and styles."""
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = {
        f"bitesize/{path.relative_to(PACKAGE).as_posix()}"
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == expected, f"differ between package and wheel: {sorted(packed ^ expected)}"
    assert {"bitesize/py.typed", "bitesize/__init__.pyi"} <= packed


def _check_same(wheel: Path, other: Path) -> None:
    """Compare two wheels, byte for byte in each file."""
    contents = []
    for path in (wheel, other):
        with zipfile.ZipFile(path) as archive:
            contents.append({name: archive.read(name) for name in archive.namelist()})
    names = [name for name in contents[0] | contents[1] if contents[0].get(name) != contents[1].get(name)]
    assert not names, f"differ between the wheels of the sdist and of the tree: {names}"


def _check_sdist(sdist: Path) -> None:
    """Compare the files of the sdist with those that git has, where this is a clone."""
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()} - {"PKG-INFO"}
    for name in ("tests/test_release.py", "docs/train.md", "README.md", "CHANGELOG.md", "LICENSE", "CITATION.cff"):
        assert name in packed, f"missing in the sdist: {name}"
    if (ROOT / ".git").exists():
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
        expected = set(listed.decode().split("\0")) - {""}
        assert packed == expected, f"differ between git and the sdist: {sorted(packed ^ expected)}"


def _check_installed(wheel: Path, place: Path, version: str) -> None:
    """Install the wheel in an environment of its own, and start the command and the library there."""
    venv.create(place / "env", with_pip=True)
    programs = place / "env" / ("Scripts" if os.name == "nt" else "bin")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(*arguments: str) -> str:
        """Run a program outside of the project, and return its output."""
        return subprocess.run(
            [programs / arguments[0], *arguments[1:]],
            cwd=place,
            env=environment,
            check=True,
            text=True,
            stdout=subprocess.PIPE,
        ).stdout

    run("python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(wheel))
    assert run("bitesize", "--version").strip() == f"bitesize {version}"
    assert run("python", "-m", "bitesize", "--version").strip() == f"bitesize {version}"
    assert run("python", "-c", PROGRAM, str(ROOT)).strip() == version
    assert "Usage: bitesize train" in run("bitesize", "train", "--help")
    (place / "run.yaml").write_text("data: x.npy\nepochs: 3\n", encoding="utf-8")
    assert "epochs: 3\n" in run("bitesize", "train", "--config", "run.yaml", "--print-config")
    run("python", "-c", "import numpy; numpy.save('x.npy', numpy.zeros((40, 4)))")
    run("bitesize", "plan", "x.npy", "--labels", "none", "--html", "plan.html")  # with templates and styles
    assert "</html>" in (place / "plan.html").read_text(encoding="utf-8")


if __name__ == "__main__":
    main()
