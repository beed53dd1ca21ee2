"""Record golden files that are not there yet: ``python -m tests.golden``. Those that are there are never changed.

The files in ``v2`` have only what a later version changed on purpose; see `tests.golden.data.LATER`.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.golden.data import HERE, LATER, write_tar
from tests.golden.runs import predictions, record_run
from tests.golden.values import (
    loader_to_continue,
    loader_values,
    order_values,
    rest,
    saved_transforms,
    source_values,
    transform_values,
)


def record() -> None:
    """Write each file that is missing."""
    with tempfile.TemporaryDirectory() as folder:
        _write("orders.json", lambda: dict(order_values()))
        _write("loaders.json", lambda: dict(loader_values()))
        _write("sources.json", lambda: dict(source_values(_made(folder, "sources"))))
        _write("transforms.json", lambda: dict(transform_values(_made(folder, "transforms"))))
        _write_changes("sources.json", lambda: dict(source_values(_made(folder, "later sources"))))
        _write_changes("transforms.json", lambda: dict(transform_values(_made(folder, "later transforms"))))
        _write("saved_transforms.json", saved_transforms)
        _write("state_dict.json", _state)
        _tar_index(_made(folder, "tar"))
    if not (HERE / "run").exists():
        record_run(HERE / "run")
    _write("run_predictions.json", lambda: predictions(HERE / "run"))


def _state() -> dict[str, Any]:
    with loader_to_continue() as loader:
        for _ in loader:
            pass
        batches = iter(loader)
        for _ in range(2):
            next(batches)
        state = loader.state_dict()
        return {"state": state, "rest": [batch["x"].tolist() for batch in batches], "next epoch": rest(loader)}


def _tar_index(folder: Path) -> None:
    import bitesize as bs

    target = HERE / "shard.tar.bitesize-index"
    if not target.exists():
        made = write_tar(folder / "shard.tar")
        bs.open(made)
        shutil.copy(f"{made}.bitesize-index", target)


def _made(folder: str, name: str) -> Path:
    path = Path(folder) / name
    path.mkdir()
    return path


def _write(name: str, make: Callable[[], Any]) -> None:
    path = HERE / name
    if not path.exists():
        path.write_text(json.dumps(make(), indent=1) + "\n")


def _write_changes(name: str, make: Callable[[], dict[str, dict[str, Any]]]) -> None:
    """Write the values that differ from those of the first version."""
    path = LATER / name
    if path.exists():
        return
    before = json.loads((HERE / name).read_text())
    found = json.loads(json.dumps(make()))
    changed = {
        entry: {kind: value for kind, value in values.items() if value != before[entry][kind]}
        for entry, values in found.items()
        if values != before[entry]
    }
    LATER.mkdir(exist_ok=True)
    path.write_text(json.dumps(changed, indent=1) + "\n")


if __name__ == "__main__":
    record()
