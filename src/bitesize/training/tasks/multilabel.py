"""Task multilabel: several tags per row, each there or not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadSetting
from bitesize.memory.request import MemoryRequest
from bitesize.sources.base import Source
from bitesize.spec import Field
from bitesize.training.backend import load_keras
from bitesize.training.predictions import TagPredictions
from bitesize.training.tasks.base import FIGURES_NBYTES, Output, Task, names_of_numbers
from bitesize.training.tasks.labels import describe_labels
from bitesize.training.tasks.results import Baseline, Column, Tally
from bitesize.training.tasks.tag_counts import counts_nbytes
from bitesize.training.tasks.tag_score import TagScore, join_scores, log_odds
from bitesize.training.tasks.targets import Targets, labels_of
from bitesize.training.tasks.weighted_loss import weighted_binary_crossentropy

_SHOWN = 12


@dataclass(frozen=True)
class Multilabel(Task):
    """Several tags per row; see `Task`.

    Parameters
    ----------
    shares
        Share of the training rows with each tag.
    positive
        Weight of each tag in the loss where it is there; None without ``--class-weights``.
    threshold
        Least probability of the tags that are predicted.
    """

    shares: tuple[float, ...] = ()
    positive: tuple[float, ...] | None = None
    threshold: float = 0.5

    name: ClassVar[str] = "multilabel"
    one: ClassVar[str] = "tag"
    many: ClassVar[str] = "tags"
    losses: ClassVar[tuple[str, ...]] = ("crossentropy",)
    endings: ClassVar[Mapping[str, Output]] = {"sigmoid": "probabilities", "linear": "logits"}
    labels_are: ClassVar[str] = "0 or 1 for each tag"
    keras_loss: ClassVar[str] = "BinaryCrossentropy"
    weights_in_loss: ClassVar[bool] = True
    not_returned: ClassVar[str] = "neither logits nor one probability per tag"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.threshold < 1:
            raise BadSetting(f"--threshold must be a probability above 0 and below 1, not {self.threshold:g}")

    @classmethod
    def of(cls, source: Source, labels: str | None, where: str, loss: str = "auto") -> tuple[Self, Source]:
        """Return the task of a source with tags, or of numbers that are all 0 or 1."""
        field = source.spec.get("y")
        if not isinstance(field, Field) or len(field.shape) != 1 or not (source.classes or only_zeros_and_ones(source)):
            raise BadSetting(
                f"--task multilabel needs 0 or 1 for each tag of a row, but the labels of {where} are {describe_labels(source)}: text with several "
                "tags needs --tag-delimiter"
            )
        names = source.classes or names_of_numbers(source, labels, field.shape[0])
        return cls(names, loss), Targets(source, np.float32, classes=names)

    def matched(self, source: Source, labels: str | None, where: str) -> Source:
        """Return other data with the tags of the training data; tags that it does not have are 0."""
        task, tagged = self.of(source, labels, where)
        if source.classes is None and len(task.names) != len(self.names):
            raise BadSetting(f"{where} has labels of {task.described} without names, but the model has {self.described}")
        if source.classes is None or task.names == self.names:
            return tagged
        unknown = [name for name in task.names if name not in self.names]
        if unknown:
            known = ", ".join(self.names[:10]) + (", ..." if len(self.names) > 10 else "")
            raise BadSetting(f"{where}: tag {unknown[0]!r} is unknown to this model; its tags are {known}")
        columns = [task.names.index(name) if name in task.names else -1 for name in self.names]
        return Targets(source, np.float32, columns=columns, classes=self.names)

    def fitted(self, train: Source, *, class_weights: bool = False) -> Self:
        """Return the task with the share of the rows that have each tag, and the weights of tags."""
        counts = np.zeros(len(self.names), np.int64)
        for _, values in labels_of(train):
            counts += (values != 0).sum(axis=0)
        shares = tuple((counts / max(1, len(train))).tolist())
        return replace(self, shares=shares, positive=self._positive(counts, len(train)) if class_weights else None)

    def _positive(self, counts: NDArray[np.int64], rows: int) -> tuple[float, ...]:
        """Return for each tag the rows without it, divided by the rows with it; 1 for a tag of all rows."""
        if not counts.all():
            raise BadSetting(f"--class-weights: the tag {self.names[int(np.argmin(counts))]!r} has no training rows")
        return tuple(float(1.0 if count == rows else (rows - count) / count) for count in counts.tolist())

    def weighed(self, train: Source) -> tuple[Source, dict[int, float] | None]:
        """Return the data unchanged: the weights of tags are in the loss."""
        return train, None

    def output_of(self, outputs: NDArray[np.float64], near: float) -> tuple[Output, str]:
        """Return whether outputs are probabilities: from 0 to 1."""
        if len(outputs) and outputs.min() >= -near and outputs.max() <= 1 + near:
            return "probabilities", "are between 0 and 1"
        return "logits", "are not between 0 and 1"

    def keras_loss_of(self, output: Output) -> Any:
        """Return the binary cross-entropy, with the weights of tags if there are any."""
        keras = load_keras()
        if self.positive is None:
            return keras.losses.BinaryCrossentropy(from_logits=output == "logits")
        return weighted_binary_crossentropy()(list(self.positive), from_logits=output == "logits")

    def metrics(self, output: Output) -> list[Any]:
        """Return the mean area under the ROC curves of all tags."""
        auc = load_keras().metrics.AUC
        return [auc(name="auc", multi_label=True, num_labels=len(self.names), from_logits=output == "logits")]

    def takes_loss(self, loss: str, config: Mapping[str, Any]) -> bool:
        """Return whether a loss of Keras takes 0 or 1 for each tag."""
        return loss in ("binarycrossentropy", "binaryfocalcrossentropy")

    def decode(self, outputs: NDArray[np.float64], output: Output) -> NDArray[np.float64]:
        """Return logarithms of odds."""
        return outputs if output == "logits" else log_odds(outputs)

    def score(self, labels: NDArray[Any], scores: NDArray[np.float64], bad: int) -> TagScore:
        """Return tags and rounded log-odds of the rows, and the sum of their cross-entropies."""
        return TagScore.of(labels, scores, bad)

    def joining(self, rows: int) -> MemoryRequest:
        """Return the memory of the counts of each tag."""
        nbytes, detail = counts_nbytes(len(self.names), rows)
        return MemoryRequest(f"scoring {self.described}", nbytes + FIGURES_NBYTES * len(self.names), "loader", detail)

    def joined(self, scores: Iterable[TagScore], rows: int) -> dict[str, Any]:
        """Return loss, F1, area under the ROC curve, and figures per tag."""
        return join_scores(self.names, self.threshold, self.shares, scores, rows)

    def predicted(self, scores: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return probabilities."""
        return (0.5 * (1 + np.tanh(0.5 * scores))).astype(np.float32)

    def columns(self, predictions: NDArray[np.float32], known: NDArray[np.bool_]) -> list[Column]:
        """Return the predicted tags, separated by ``|``, and the probability of each tag."""
        tags = ["|".join(self._tags(row)) if there else "" for row, there in zip(predictions, known, strict=True)]
        return [
            Column("predicted", tags),
            *(Column(f"p_{name}", p) for name, p in zip(self.names, predictions.T, strict=True)),
        ]

    def _tags(self, row: Iterable[float]) -> list[str]:
        return [name for name, p in zip(self.names, row, strict=True) if p >= self.threshold]

    def json_head(self) -> dict[str, Any]:
        """Return the tags and the threshold."""
        return {"tags": list(self.names), "threshold": self.threshold}

    def json_row(self, prediction: Sequence[float] | None) -> dict[str, Any]:
        """Return the predicted tags, and the probability of each tag."""
        if prediction is None:
            return {"predicted": None, "probabilities": None}
        values = {name: round(p, 6) for name, p in zip(self.names, prediction, strict=True)}
        return {"predicted": self._tags(prediction), "probabilities": values}

    def result(
        self,
        predictions: NDArray[np.float32],
        describe: Callable[[int], str],
        errors: Mapping[int, str],
        said: Sequence[str],
    ) -> TagPredictions:
        """Return the tags and their probabilities."""
        return TagPredictions(predictions, self.names, describe, errors, said, self.threshold)

    def tally(self) -> Tally:
        """Return a counter of tags."""
        return _Counts(self.names, self.threshold)

    def baseline(self, source: Source | None) -> Baseline | None:
        """Return the loss of answering the shares of tags in the training data; None if the loss is another one."""
        another = self.own_loss or self.positive is not None
        if source is None or not self.shares or another or not len(source):
            return None
        odds, total = log_odds(np.asarray(self.shares)), 0.0
        for _, values in labels_of(source):
            total += float((np.logaddexp(0, odds) - values * odds).mean(axis=1).sum())
        return Baseline("loss", total / len(source), "always answering the share of each tag in the training data", False)

    def as_dict(self) -> dict[str, Any]:
        """Return the settings."""
        weights = None if self.positive is None else list(self.positive)
        return {**super().as_dict(), "shares": list(self.shares), "positive_weights": weights}

    @classmethod
    def saved(cls, names: tuple[str, ...], saved: Mapping[str, Any]) -> Self:
        """Return the task from its settings."""
        weights = saved["positive_weights"]
        return cls(names, saved["loss"], tuple(saved["shares"]), None if weights is None else tuple(weights))


class _Counts(Tally):
    """Number of rows with each tag."""

    def __init__(self, names: tuple[str, ...], threshold: float) -> None:
        self._names, self._threshold, self._counts = names, threshold, np.zeros(len(names), np.int64)

    def add(self, predictions: NDArray[np.float32], known: NDArray[np.bool_]) -> None:
        """Count the tags."""
        self._counts += (predictions[known] >= self._threshold).sum(axis=0)

    def line(self) -> str:
        """Return the first tags with their counts."""
        counts = zip(self._names[:_SHOWN], self._counts.tolist(), strict=False)
        return ", ".join(f"{name} {count:,}" for name, count in counts) + (", ..." if len(self._names) > _SHOWN else "")


def only_zeros_and_ones(source: Source) -> bool:
    """Return whether all labels are 0 or 1."""
    return all(bool(((values == 0) | (values == 1)).all()) for _, values in labels_of(source))
