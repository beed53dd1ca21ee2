"""What is known of a finished run besides its model, and its HTML for notebooks."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from bitesize.errors import NotFound, first_few
from bitesize.html.notebook import output, table
from bitesize.sources.base import Source
from bitesize.training.history import History, read_history
from bitesize.training.saved_epoch import SavedEpoch
from bitesize.training.validation_rows import validation_rows
from bitesize.transforms.base import Transform

_MOST_NAMES = 40


class RunFacts:
    """Base of `TrainedModel` with what is known of its run.

    Attributes
    ----------
    folder, config, saved_epoch, task, names, settings, input_shape, transforms
        As in `TrainedModel`.
    """

    folder: Path
    config: dict[str, Any]
    saved_epoch: SavedEpoch
    task: str
    names: tuple[str, ...]
    settings: dict[str, Any]
    input_shape: tuple[int, ...]
    transforms: list[Transform]

    @cached_property
    def history(self) -> History:
        """Figures of each epoch by name, such as ``history["val_loss"]``, from the run's ``history.csv``. A notebook shows curves."""
        return read_history(self.folder)

    def validation_rows(self) -> Source:
        """Return the rows that the run was validated on, with labels: a source for `evaluate`, `predict` and loaders.

        Returns
        -------
        Source
            The rows, found in the data of the run as ``bitesize evaluate --part val`` does.

        Raises
        ------
        NotFound
            If the run has no validation rows, or its data is no longer there or has changed.

        Examples
        --------
        >>> import bitesize as bs
        >>> model = bs.load("runs/first")  # doctest: +SKIP
        >>> model.evaluate(model.validation_rows())["accuracy"]  # doctest: +SKIP
        0.993
        """
        source = validation_rows(self.folder, {**self.config, "classes": self.names})
        if source is None:
            raise NotFound(f"{self.folder} has no validation rows: it was trained with --val-split 0")
        return source

    def _repr_html_(self) -> str:
        """Return the model's task, its input, its score, and the curves of the training, for notebooks."""
        of = {"classify": "classes", "multilabel": "tags", "regress": "targets", "segment": "classes"}.get(
            self.task, "names"
        )
        lines = [
            ("task", self.task),
            ("model", self.settings["model"]),
            ("input", f"rows of {' x '.join(map(str, self.input_shape)) or 'one number'}"),
            (of, f"{len(self.names)}: {first_few(self.names, _MOST_NAMES)}"),
            ("transforms", ", ".join(map(repr, self.transforms)) or "none"),
            ("score", self.saved_epoch.score or "not validated"),
            ("folder", self.folder),
        ]
        return output("TrainedModel", table(lines), self.saved_epoch.unfinished or "", *self.history.html_blocks())
