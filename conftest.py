"""Examples of a framework that is not installed are skipped."""

from importlib.util import find_spec

import pytest

_FRAMEWORKS = {"bitesize.outputs.torch": "torch", "bitesize.outputs.tensorflow": "tensorflow"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip doctests of modules whose framework is missing."""
    for item in items:
        package = _FRAMEWORKS.get(item.name.rpartition(".")[0])
        if isinstance(item, pytest.DoctestItem) and package is not None and find_spec(package) is None:
            item.add_marker(pytest.mark.skip(reason=f"{package} is not installed"))
