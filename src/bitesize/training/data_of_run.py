"""The data of a run: whether given data is the same, and the labels that the run was trained with."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from bitesize.errors import BadSetting, NotFound
from bitesize.storage import paths
from bitesize.storage.url import is_url


def is_data_of(config: Mapping[str, Any], data: Any) -> bool:
    """Return whether data, as given by the user, is the training data of a run: the same path."""
    if not isinstance(data, str | os.PathLike) or "folder" not in config:
        return False
    return _same(paths.join(config["folder"], config["settings"]["data"]), os.fspath(data))


def data_of(config: Mapping[str, Any]) -> str:
    """Return the path of a run's training data, as found from the current directory."""
    return _from_here(config, config["settings"]["data"])


def validation_data_of(config: Mapping[str, Any]) -> str | None:
    """Return the path of the option ``--val`` of a run, as found from the current directory; None without the option."""
    val = config["settings"].get("val")
    return None if val is None else _from_here(config, val)


def column_of_labels(labels: str | None) -> str | None:
    """Return the columns or the field that ``--labels`` names, or None if the labels are a separate file or folders."""
    return None if labels is None or os.path.splitext(labels)[1] or os.path.exists(labels) else labels


def place_of_labels(config: Mapping[str, Any], labels: str | None) -> str | None:
    """Return the path of the labels of a run if they are a file or folder of their own, as found from the current directory.

    Parameters
    ----------
    config
        Config of the run.
    labels
        The option ``--labels`` of the run.
    """
    if labels is None or "folder" not in config:
        return None
    found = _from_here(config, labels)
    return found if paths.exists(found) or column_of_labels(labels) is None else None


def labels_of_run(config: Mapping[str, Any], data: Any, labels: str | None) -> str | None:
    """Return the separate labels of a run for its own data; None for other data, or labels that are in the data.

    Raises
    ------
    NotFound
        If the labels of the run are no longer there.
    """
    place = place_of_labels(config, labels) if is_data_of(config, data) else None
    if place is not None and not paths.exists(place):
        raise NotFound(
            f"{place} does not exist: the labels that the run was trained with. Name the labels of {data} with --labels"
        )
    return place


def _from_here(config: Mapping[str, Any], path: str) -> str:
    """Return a path of a run, relative to the folder in which it was started, as found from the current directory."""
    there: str = paths.join(config.get("folder", "."), path)
    return path if _same(there, path) or not paths.exists(there) else there


def _same(path: str, other: str) -> bool:
    if is_url(path) or is_url(other):
        return bool(paths.normpath(path) == paths.normpath(other))
    return os.path.realpath(path) == os.path.realpath(other)


@contextmanager
def naming_labels(place: str | None, way: str) -> Iterator[None]:
    """Add to errors about labels that those of the training data are in a place of their own, and the way to give others."""
    try:
        yield
    except BadSetting as error:
        if place is None or type(error) is not BadSetting:
            raise
        raise BadSetting(f"{error}. The labels of the training data are in {place}: {way}") from error
