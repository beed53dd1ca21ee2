"""Task regress: one or several numbers per row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadSetting
from bitesize.memory.sizes import rounded
from bitesize.sources.base import Source
from bitesize.spec import Field
from bitesize.training.backend import load_keras
from bitesize.training.predictions import NumberPredictions
from bitesize.training.tasks.base import Output, Task, names_of_numbers
from bitesize.training.tasks.labels import describe_labels
from bitesize.training.tasks.number_score import NumberScore, join_scores
from bitesize.training.tasks.results import Baseline, Column, Tally
from bitesize.training.tasks.targets import Targets, labels_of, measure

_SHOWN = 5
_IN_UNITS = ("mae", "val_mae")


@dataclass(frozen=True)
class Regress(Task):
    """One or several numbers per row; see `Task`.

    The model learns standardized targets: ``(target - mean) / std``, with mean and deviation of the training rows.

    Parameters
    ----------
    mean, std
        Mean and deviation of each target.
    """

    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    name: ClassVar[str] = "regress"
    one: ClassVar[str] = "target"
    many: ClassVar[str] = "targets"
    # The squared error is smallest for the mean, which RMSE and R2 are about; huber is for targets with outliers.
    losses: ClassVar[tuple[str, ...]] = ("mse", "huber")
    endings: ClassVar[Mapping[str, Output]] = {"linear": "values"}
    labels_are: ClassVar[str] = "numbers"
    keras_loss: ClassVar[str] = "MeanSquaredError"
    digits: ClassVar[str] = ".7g"
    predictions_are: ClassVar[str] = "values"
    not_returned: ClassVar[str] = "no values on both sides of 0, as standardized targets have"

    @classmethod
    def of(cls, source: Source, labels: str | None, where: str, loss: str = "auto") -> tuple[Self, Source]:
        """Return the task of a source with numbers; classes that are numbers are their values."""
        field = source.spec.get("y")
        refused = BadSetting(
            f"--task regress needs one or several numbers per row, but the labels of {where} are {describe_labels(source)}"
        )
        if not isinstance(field, Field) or field.mask or len(field.shape) > 1 or field.dtype.kind not in "biuf":
            raise refused
        if source.labels is None:
            if source.classes:
                raise refused
            count = field.shape[0] if field.shape else 1
            return cls(names_of_numbers(source, labels, count), loss), Targets(source, np.float64)
        try:
            table = None if source.classes is None else [float(name) for name in source.classes]
        except ValueError:
            raise refused from None
        return cls(names_of_numbers(source, labels, 1), loss), Targets(source, np.float64, table=table)

    def matched(self, source: Source, labels: str | None, where: str) -> Source:
        """Return other data with as many numbers per row: columns of the same names in their order, other columns as they are."""
        task, numbers = self.of(source, labels, where)
        shared = set(task.names) & set(self.names)
        if len(task.names) != len(self.names) or (shared and shared != set(self.names)):
            raise BadSetting(
                f"{where} has {task.described} per row, {', '.join(task.names[:10])}, but the model predicts {self.described}: "
                f"{', '.join(self.names[:10])}"
            )
        if not shared or task.names == self.names:
            return numbers
        return Targets(source, np.float64, columns=[task.names.index(name) for name in self.names])

    def fitted(self, train: Source, *, class_weights: bool = False) -> Self:
        """Return the task with mean and deviation of the training rows."""
        if class_weights:
            self.weighed(train)
        mean, std = measure(train, self.names)
        constant = [name for name, deviation in zip(self.names, std, strict=True) if not deviation > 0]
        if constant:
            raise BadSetting(f"the target {constant[0]!r} is equal in every training row: there is nothing to learn")
        return replace(self, mean=tuple(mean.tolist()), std=tuple(std.tolist()))

    def for_loss(self, source: Source) -> Source:
        """Return a source with standardized targets, float32."""
        return Targets(source, np.float32, mean=self.mean, std=self.std)

    def keras_loss_of(self, output: Output) -> Any:
        """Return the mean squared error, or the Huber loss, which is linear beyond one deviation."""
        losses = load_keras().losses
        return losses.Huber(delta=1.0) if self.loss == "huber" else losses.MeanSquaredError()

    def metrics(self, output: Output) -> list[Any]:
        """Return the mean absolute error, and R2, each the mean of all targets."""
        metrics = load_keras().metrics
        return [
            metrics.MeanAbsoluteError(name="mae"),
            metrics.R2Score(name="r2"),
        ]

    def takes_loss(self, loss: str, config: Mapping[str, Any]) -> bool:
        """Return whether a loss of Keras takes numbers."""
        return loss in (
            "meansquarederror", "meanabsoluteerror", "huber", "logcosh", "meansquaredlogarithmicerror", "meanabsolutepercentageerror",
            "cosinesimilarity",
        )  # fmt: skip

    def in_units(self, figures: Mapping[str, float]) -> dict[str, float]:
        """Return errors in units of the target; of several targets, whose units differ, in deviations."""
        scale = self.std[0] if len(self.std) == 1 else 1.0
        return {name: value * scale if name in _IN_UNITS else value for name, value in figures.items()}

    @property
    def said(self) -> list[str]:
        """A line on the targets and their units."""
        shown = ", ".join(
            f"{name} (mean {rounded(mean)}, deviation {rounded(std)})"
            for name, mean, std in list(zip(self.names, self.mean, self.std, strict=True))[:_SHOWN]
        ) + (", ..." if len(self.names) > _SHOWN else "")
        units = "in units of the data" if len(self.names) == 1 else "in deviations, and in units of the data in evaluate"
        loss = "the model's own loss" if self.own_loss else f"the loss {self.loss} (--loss changes this)"
        return [f"targets: {shown}, standardized for {loss}; mae is {units}"]

    def decode(self, outputs: NDArray[np.float64], output: Output) -> NDArray[np.float64]:
        """Return values in units of the data."""
        return np.asarray(outputs * np.asarray(self.std) + np.asarray(self.mean))

    def score(self, labels: NDArray[Any], scores: NDArray[np.float64], bad: int) -> NumberScore:
        """Return sums of errors and squares."""
        return NumberScore.of(labels, scores, np.asarray(self.mean), bad)

    def joined(self, scores: Iterable[NumberScore], rows: int) -> dict[str, Any]:
        """Return loss, MAE, RMSE and R2, of each target and their means."""
        return join_scores(self.names, self.mean, self.std, scores)

    def predicted(self, scores: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return values in units of the data."""
        return scores.astype(np.float32)

    def columns(self, predictions: NDArray[np.float32], known: NDArray[np.bool_]) -> list[Column]:
        """Return the predicted value of each target."""
        return [Column(f"predicted_{name}", values) for name, values in zip(self.names, predictions.T, strict=True)]

    def json_head(self) -> dict[str, Any]:
        """Return the targets."""
        return {"targets": list(self.names)}

    def json_row(self, prediction: Sequence[float] | None) -> dict[str, Any]:
        """Return the predicted value of each target."""
        if prediction is None:
            return {"predicted": None}
        return {"predicted": {name: float(f"{value:.7g}") for name, value in zip(self.names, prediction, strict=True)}}

    def result(
        self,
        predictions: NDArray[np.float32],
        describe: Callable[[int], str],
        errors: Mapping[int, str],
        said: Sequence[str],
    ) -> NumberPredictions:
        """Return the predicted values."""
        return NumberPredictions(predictions, self.names, describe, errors, said)

    def tally(self) -> Tally:
        """Return a summary of the predicted values."""
        return _Ranges(self.names)

    def baseline(self, source: Source | None) -> Baseline | None:
        """Return the mean absolute error of predicting the mean of the training rows, in the units of `in_units`."""
        if source is None or not len(source):
            return None
        total = np.zeros(len(self.names))
        for _, values in labels_of(source):
            total += np.abs(values - np.asarray(self.mean)).sum(axis=0)
        standardized = float((total / np.asarray(self.std)).mean() / len(source))
        return Baseline(
            "mae", self.in_units({"mae": standardized})["mae"], "predicting the mean of the training rows", False
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the settings."""
        return {**super().as_dict(), "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def saved(cls, names: tuple[str, ...], saved: Mapping[str, Any]) -> Self:
        """Return the task from its settings."""
        return cls(names, saved["loss"], tuple(saved["mean"]), tuple(saved["std"]))


class _Ranges(Tally):
    """Least and greatest predicted value of each target."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._least, self._greatest = np.full(len(names), np.inf), np.full(len(names), -np.inf)

    def add(self, predictions: NDArray[np.float32], known: NDArray[np.bool_]) -> None:
        """Widen the ranges."""
        if known.any():
            self._least = np.minimum(self._least, predictions[known].min(axis=0))
            self._greatest = np.maximum(self._greatest, predictions[known].max(axis=0))

    def line(self) -> str:
        """Return the first ranges."""
        ranges = list(zip(self._names, self._least, self._greatest, strict=True))[:_SHOWN]
        more = ", ..." if len(self._names) > _SHOWN else ""
        return ", ".join(f"{name} {rounded(least)} to {rounded(greatest)}" for name, least, greatest in ranges) + more
