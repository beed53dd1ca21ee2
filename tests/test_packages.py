"""Packages that are missing are named as pip installs them, and only those that are missing."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
import tomllib
from pathlib import Path

import pytest

import bitesize as bs
from bitesize import packages
from bitesize.decode.formats import CODECS
from bitesize.packages import pip_install
from bitesize.sources.registry import kinds, need
from bitesize.training.backend import choose_backend

TOP = Path(__file__).parents[1]


def extras() -> set[str]:
    """Return the packages of the project's extras, as PyPI has them."""
    groups = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    return {re.split(r"[<>=\[; ]", each)[0].lower() for group in groups.values() for each in group}


def names_of_extras() -> set[str]:
    """Return the names of the project's extras."""
    return set(tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"])


def named() -> set[str]:
    """Return the modules that the program's messages say how to install."""
    found = {kind.package for kind in kinds() if kind.package}
    for file in (TOP / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            # The first two arguments of import_framework are the module and its name in the message.
            start = {"pip_install": 0, "import_framework": 2}.get(getattr(node.func, "id", ""))
            if start is not None:
                found |= {each.value for each in node.args[start:] if isinstance(each, ast.Constant)}
    return found


@pytest.fixture
def missing(monkeypatch):
    """Let packages seem to be missing."""
    gone: set[str] = set()
    find = importlib.util.find_spec
    monkeypatch.setattr(
        packages.importlib.util, "find_spec", lambda name, *more: None if name in gone else find(name, *more)
    )
    return gone.update


def test_each_package_that_is_named_is_in_the_projects_extras(missing):
    modules = named()
    assert modules >= {"keras", "jax", "torch", "tensorflow", "sklearn", "skops", "pyarrow", "h5py", "zarr"}
    missing(modules)
    for module in modules:
        line = pip_install(module).removeprefix("pip install ")
        assert line in extras() or line in {f'"bitesize[{extra}]"' for extra in names_of_extras()}, module


def test_messages_install_extras_and_not_the_whole_program():
    for file in (TOP / "src").rglob("*.py"):
        assert "pip install bitesize" not in file.read_text(encoding="utf-8"), file


def test_formats_whose_packages_belong_together_are_installed_by_their_extra(missing):
    missing({"nibabel", "pydicom"})
    assert pip_install("nibabel") == 'pip install "bitesize[nifti]"'
    assert pip_install("pydicom") == 'pip install "bitesize[dicom]"'


def test_only_what_is_missing_is_named(missing):
    missing({"sklearn"})
    assert pip_install("sklearn", "numpy") == "pip install scikit-learn"
    missing({"skops"})
    assert pip_install("sklearn", "skops") == "pip install scikit-learn skops"
    assert pip_install("numpy") == "pip install numpy"  # there, and broken: it says what may mend it


@pytest.mark.parametrize(
    ("gone", "line"),
    [
        ({"keras"}, "pip install keras"),
        ({"keras", "torch", "tensorflow", "jax"}, "pip install keras jax"),
        ({"torch", "tensorflow", "jax"}, "pip install jax"),
    ],
)
def test_training_names_keras_and_a_backend_only_where_they_are_missing(gone, line, missing, monkeypatch):
    if len(gone) == 1 and not any(map(packages.is_installed, ("torch", "tensorflow", "jax"))):
        pytest.skip("no backend is installed")
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", "nowhere")
    missing({*gone, *(() if packages.is_installed("keras") else ("keras",))})
    with pytest.raises(bs.MissingPackage) as error:
        choose_backend()
    assert str(error.value).endswith(f": {line}")


def test_what_needs_keras_is_said(missing, tmp_path):
    from bitesize.training.models import build_model
    from bitesize.training.pretrained import names
    from bitesize.training.run import RunFolder

    missing({"keras"})
    run = RunFolder(tmp_path)
    run.write_config({"settings": {"model": "mlp"}, "input_shape": [2]}, ("a", "b"))
    (tmp_path / "model.keras").write_bytes(b"")
    for needs, call in (
        (f"the model {tmp_path / 'model.keras'}", lambda: bs.load(tmp_path)),
        ("the model mlp", lambda: build_model("mlp", (4,), 2)),
        ("the list of the models of keras.applications", names),
        ("training", choose_backend),
    ):
        with pytest.raises(bs.MissingPackage, match=f"^{re.escape(needs)} needs Keras: pip install keras"):
            call()


@pytest.mark.parametrize("kind", [kind for kind in kinds() if kind.package], ids=lambda kind: kind.__name__)
def test_each_kind_of_data_says_what_to_install(kind, missing):
    missing({kind.package})
    with pytest.raises(bs.MissingPackage, match=rf"{re.escape(pip_install(kind.package))}$"):
        need(kind)


def test_a_data_frame_without_pyarrow_says_how_to_install_it(missing, monkeypatch):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1.0, 2.0], "label": ["x", "y"]})
    missing({"pyarrow"})
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(bs.MissingPackage, match=r"pip install pyarrow$"):
        bs.open(frame)


def test_no_module_imports_an_optional_package_before_it_is_used():
    """`bs.open` imports all modules of `bitesize.sources`, also where only the required packages are installed."""
    required = {
        "numpy",
        "numba",
        "llvmlite",
        "simplejpeg",
        "PIL",
        "psutil",
        "xxhash",
        "rich",
        "typer",
        "click",
        "lazy_loader",
        "platformdirs",
        "packaging",
    }
    # Imported by functions that have made sure of the packages; decoders by `formats.decoder`.
    on_use = {
        "storage/zarr_store.py",
        *(f"{codec.module.removeprefix('bitesize.').replace('.', '/')}.py" for codec in CODECS.values()),
    }
    found = []
    for path in (TOP / "src" / "bitesize").rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = (
                [each.name for each in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            tops = (
                {name.partition(".")[0] for name in names}
                - set(sys.stdlib_module_names)
                - required
                - {"bitesize", "__future__"}
            )
            if tops and path.relative_to(TOP / "src" / "bitesize").as_posix() not in on_use:
                found.append(f"{path.relative_to(TOP)}: {', '.join(tops)}")
    assert found == []
