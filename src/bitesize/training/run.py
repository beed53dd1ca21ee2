"""A run's folder: the model and everything needed to use it, or to run it again."""

from __future__ import annotations

import csv
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitesize.errors import BadFile, BadSetting, NotFound
from bitesize.files.atomic import replacing, write_text
from bitesize.training import standardize as _standardize  # noqa: F401 - makes it known to from_dict
from bitesize.transforms.base import Transform, from_dict

SCHEMA = 1


@dataclass(frozen=True)
class RunFolder:
    """The files of a training run.

    ``model.keras`` or ``model.skops`` (the model after its last finished epoch), ``config.json`` (settings, transforms, versions),
    ``classes.json`` (names by class number), ``history.csv`` (a line an epoch) ``summary.json`` (rate,
    memory, time) and, where rows were skipped, ``bad_rows.csv``; and the folder ``checkpoints``, from which a broken run
    goes on.
    """

    path: Path

    @property
    def saved(self) -> Path:
        """Where the model is: of scikit-learn or, by default, of Keras."""
        skops, keras = self.path / "model.skops", self.path / "model.keras"
        if skops.is_file() and keras.is_file():  # a run was killed while it took the place of another: its settings tell
            return skops if "sklearn" in self._json("config.json") else keras
        return skops if skops.is_file() else keras

    @property
    def checkpoints(self) -> Path:
        """Where the checkpoints are."""
        return self.path / "checkpoints"

    @classmethod
    def create(cls, path: str | os.PathLike[str]) -> RunFolder:
        """Make the folder; an earlier run in it stays whole until `begin`."""
        folder = Path(path)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise BadFile(f"{folder} is a file: --out needs a folder") from error
        except OSError as error:
            raise BadSetting(f"the folder {folder} cannot be made: {error.strerror}") from error
        return cls(folder)

    def begin(
        self, model: Any, config: dict[str, Any], classes: tuple[str, ...], *, keeps_checkpoints: bool = False
    ) -> None:
        """Put a new run's first model in the place of an earlier run; its checkpoints go, too, unless it keeps its own there."""
        if not keeps_checkpoints:
            shutil.rmtree(self.checkpoints, ignore_errors=True)
        self.save_model(model)
        self.write_config(config, classes)
        other = "model.skops" if hasattr(model, "save") else "model.keras"
        for name in ("bad_rows.csv", "summary.json", other):
            (self.path / name).unlink(missing_ok=True)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> RunFolder:
        """Open the folder of a finished run.

        Raises
        ------
        NotFound
            If it is not there or has no model yet.
        """
        folder = cls(Path(path))
        for name in ("config.json", "classes.json", folder.saved.name):
            if not (folder.path / name).is_file():
                raise NotFound(f"{folder.path} is not the folder of a finished run: it has no {name}")
        return folder

    def write_config(self, config: dict[str, Any], classes: tuple[str, ...]) -> None:
        """Write what was decided before training."""
        write_text(self.path / "config.json", json.dumps({"schema": SCHEMA, **config}, indent=2) + "\n")
        write_text(self.path / "classes.json", json.dumps(list(classes), ensure_ascii=False, indent=2) + "\n")

    def config(self) -> dict[str, Any]:
        """Read ``config.json``.

        Raises
        ------
        BadFile
            If it cannot be understood.
        """
        config = self._json("config.json")
        if not isinstance(config, dict) or config.get("schema") != SCHEMA:
            raise BadFile(f"{self.path / 'config.json'} is not of schema {SCHEMA}: it was written by another version")
        return config

    def classes(self) -> tuple[str, ...]:
        """Read ``classes.json``."""
        return tuple(self._json("classes.json"))

    def transforms(self) -> list[Transform]:
        """Make the transforms that evaluation and prediction apply."""
        return [from_dict(settings) for settings in self.config()["transforms"]]

    def save_model(self, model: Any) -> None:
        """Save the model, atomically: one of Keras by itself, an estimator of scikit-learn by skops, which runs no code when it loads."""
        if hasattr(model, "save"):
            with replacing(self.path / "model.keras") as temporary:
                model.save(temporary)
        else:
            import skops.io

            with replacing(self.path / "model.skops") as temporary:
                skops.io.dump(model, temporary)

    def write_history(self, epochs: list[dict[str, Any]]) -> None:
        """Write ``history.csv``: a line an epoch."""
        if epochs:
            self._csv("history.csv", list(epochs[0]), [list(epoch.values()) for epoch in epochs])

    def write_bad(self, rows: list[tuple[Any, ...]]) -> None:
        """Write ``bad_rows.csv``: which data, row, path, reason."""
        if rows:
            self._csv("bad_rows.csv", ["data", "row", "path", "reason"], [list(row) for row in rows])

    def write_summary(self, result: dict[str, Any]) -> None:
        """Write ``summary.json``: what a finished run came to."""
        write_text(self.path / "summary.json", json.dumps(result, indent=2) + "\n")

    def _csv(self, name: str, header: list[str], rows: list[list[Any]]) -> None:
        with replacing(self.path / name) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(header)
            writer.writerows(rows)

    def _json(self, name: str) -> Any:
        path = self.path / name
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, OSError) as error:
            raise BadFile(f"{path} cannot be read: {error}") from error
