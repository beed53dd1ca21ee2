"""The public names, and what importing them loads."""

import subprocess
import sys

import bitesize


def test_every_public_name_exists_and_is_listed_once():
    assert sorted(bitesize.__all__) == sorted(set(bitesize.__all__))
    for name in bitesize.__all__:
        assert getattr(bitesize, name) is not None
    assert set(bitesize._WHERE) == set(bitesize.__all__)
    assert set(dir(bitesize)) == set(bitesize.__all__)


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


def test_opening_and_looping_over_plain_rows_loads_no_compiler():
    code = (
        "import sys, numpy as np, bitesize as bs\n"
        "with bs.Loader(bs.open(np.zeros((10, 3))), batch_size=5, memory='1 MiB') as loader: n = sum(1 for _ in loader)\n"
        "print(n, [name for name in ('numba', 'keras', 'jax', 'torch', 'rich', 'simplejpeg') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "2 []"
