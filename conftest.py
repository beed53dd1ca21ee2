"""Examples of a framework that is not installed are skipped; examples of trained models find a run in ``runs/1``."""

import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

_FRAMEWORKS = {
    "bitesize.outputs.torch": "torch",
    "bitesize.outputs.tensorflow": "tensorflow",
    "bitesize.training.trained": "keras",
}
_RUN = Path(__file__).parent / "tests" / "golden" / "v1" / "run"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip doctests of modules whose framework is missing."""
    for item in items:
        package = next((name for module, name in _FRAMEWORKS.items() if item.name.startswith(f"{module}.")), None)
        if isinstance(item, pytest.DoctestItem) and package is not None and find_spec(package) is None:
            item.add_marker(pytest.mark.skip(reason=f"{package} is not installed"))


@pytest.fixture(autouse=True)
def _run_of_examples(request: pytest.FixtureRequest) -> None:
    """Start doctests of trained models in a folder with a finished run of two features."""
    if isinstance(request.node, pytest.DoctestItem) and request.node.name.startswith(
        ("bitesize.training.trained.", "bitesize.report.write.")
    ):
        folder = request.getfixturevalue("tmp_path")
        shutil.copytree(_RUN, folder / "runs" / "1")
        request.getfixturevalue("monkeypatch").chdir(folder)
