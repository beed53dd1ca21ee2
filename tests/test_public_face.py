"""The public names, and what importing them loads."""

import ast
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import bitesize


def test_every_public_name_exists_and_is_listed_once():
    assert sorted(bitesize.__all__) == sorted(set(bitesize.__all__))
    for name in bitesize.__all__:
        assert getattr(bitesize, name) is not None
    assert set(dir(bitesize)) == set(bitesize.__all__)
    assert not {"fit", "Checkpoint", "partial_fit", "predict"} & set(bitesize.__all__)


def test_the_names_of_one_framework_are_in_its_namespace():
    assert bitesize.keras.__all__ == ["Checkpoint", "PreparedTask", "build_model", "fit", "prepare_task"]
    assert bitesize.sklearn.__all__ == ["partial_fit", "predict"]
    for namespace in (bitesize.keras, bitesize.sklearn):
        for name in namespace.__all__:
            assert (getattr(namespace, name).__doc__ or "").strip(), name


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("fit", "keras.fit"),
        ("Checkpoint", "keras.Checkpoint"),
        ("partial_fit", "sklearn.partial_fit"),
        ("predict", "sklearn.predict"),
    ],
)
def test_names_that_moved_say_where_they_are(name, place):
    with pytest.raises(AttributeError, match=rf"^bs\.{name} is now bs\.{re.escape(place)}$"):
        getattr(bitesize, name)


def test_unknown_names_raise_as_for_any_module():
    with pytest.raises(AttributeError, match=r"^module 'bitesize' has no attribute 'Loadr'$"):
        bitesize.Loadr  # noqa: B018
    with pytest.raises(ImportError):
        from bitesize import Loadr  # noqa: F401


ROOT = Path(__file__).parents[1]
PROGRAMS = [
    str(path.relative_to(ROOT)) for folder in ("bench", "examples") for path in sorted((ROOT / folder).rglob("*.py"))
]


@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_use_names_that_exist(program):
    """No test runs each peer of the bench: each needs packages of its own."""
    tree = ast.parse((ROOT / program).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "bitesize":
            module = importlib.import_module(node.module)
            assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("bs", "bs.keras", "bs.sklearn"):
            namespace = getattr(bitesize, ast.unparse(node.value).partition(".")[2], bitesize)
            assert hasattr(namespace, node.attr), ast.unparse(node)


def test_type_checkers_see_exact_types(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import numpy as np\n"
        "import bitesize as bs\n"
        "from bitesize import Loader\n"
        "loader: Loader = bs.Loader(bs.open(np.zeros((9, 3))), batch_size=3, memory='1 MiB')\n"
        "reveal_type(bs.open)\n"
        "reveal_type(loader)\n"
        "reveal_type(bs.keras.fit)\n"
        "reveal_type(bs.sklearn.predict)\n"
        "reveal_type(bs.__version__)\n"
        "bs.fit\n"
    )
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--follow-imports=silent",
        "--cache-dir",
        str(tmp_path),
        str(script),
    ]
    paths = {"MYPYPATH": str(Path(bitesize.__file__).parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=os.environ | paths)
    notes = [line for line in done.stdout.splitlines() if "Revealed type" in line]
    assert len(notes) == 5
    assert not [line for line in notes if '"Any"' in line], notes
    assert "bitesize.engine.loader.Loader" in notes[1]
    errors = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert len(errors) == 1, done.stdout
    assert 'Module has no attribute "fit"' in errors[0]


def test_every_public_class_and_function_is_documented():
    for name in bitesize.__all__:
        assert (getattr(bitesize, name).__doc__ or "").strip(), name


def test_every_error_is_ours_and_a_built_in_one():
    errors = [getattr(bitesize, name) for name in bitesize.__all__ if isinstance(getattr(bitesize, name), type)]
    errors = [kind for kind in errors if issubclass(kind, Exception) and kind is not bitesize.BitesizeError]
    assert len(errors) >= 12
    for kind in errors:
        assert issubclass(kind, bitesize.BitesizeError)
        assert any(base.__module__ == "builtins" and base is not Exception for base in kind.__mro__[1:-3]), kind


def test_importing_loads_neither_numpy_nor_a_framework():
    code = "import sys, bitesize; print([n for n in ('numpy', 'numba', 'PIL', 'keras', 'jax', 'torch', 'rich') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_namespaces_of_frameworks_load_none():
    code = (
        "import sys, bitesize as bs; bs.keras.fit, bs.keras.Checkpoint, bs.sklearn.partial_fit, bs.sklearn.predict\n"
        "print([n for n in ('keras', 'jax', 'torch', 'tensorflow', 'sklearn') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_opening_and_looping_over_plain_rows_loads_no_compiler():
    code = (
        "import sys, numpy as np, bitesize as bs\n"
        "with bs.Loader(bs.open(np.zeros((10, 3))), batch_size=5, memory='1 MiB') as loader: n = sum(1 for _ in loader)\n"
        "print(n, [name for name in ('numba', 'keras', 'jax', 'torch', 'rich', 'simplejpeg') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "2 []"
