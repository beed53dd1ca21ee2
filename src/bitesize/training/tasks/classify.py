"""Task classify: one class per row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadSetting
from bitesize.sources.base import Source
from bitesize.training.backend import load_keras
from bitesize.training.class_weights import class_weights, weigh_by_class
from bitesize.training.classes import largest_class, match_classes, with_classes
from bitesize.training.predictions import Predictions
from bitesize.training.tasks.base import Output, Task
from bitesize.training.tasks.results import Baseline, Column, Tally

_SHOWN = 12


@dataclass(frozen=True)
class Classify(Task):
    """One class per row; see `Task`."""

    name: ClassVar[str] = "classify"
    one: ClassVar[str] = "class"
    many: ClassVar[str] = "classes"
    losses: ClassVar[tuple[str, ...]] = ("crossentropy",)
    endings: ClassVar[Mapping[str, Output]] = {"softmax": "probabilities", "linear": "logits", "logsoftmax": "logits"}
    labels_are: ClassVar[str] = "class numbers"
    keras_loss: ClassVar[str] = "SparseCategoricalCrossentropy"
    has_confusion: ClassVar[bool] = True
    not_returned: ClassVar[str] = "neither logits nor probabilities that sum to 1"

    @classmethod
    def of(cls, source: Source, labels: str | None, where: str, loss: str = "auto") -> tuple[Self, Source]:
        """Return the task of a source with classes."""
        source = with_classes(source, labels, where)
        classes = source.classes
        assert classes is not None
        if len(classes) < 2:
            raise BadSetting(f"{where} has only one class ({classes[0]}): a classifier needs at least two")
        return cls(classes, loss), source

    @classmethod
    def numbered(cls, count: int) -> Self:
        """Return a task of classes without names."""
        return cls(tuple(map(str, range(count))))

    def matched(self, source: Source, labels: str | None, where: str) -> Source:
        """Return other data with the class numbers of the training data."""
        return match_classes(with_classes(source, labels, where), self.names, where)

    def weighed(self, train: Source) -> tuple[Source, dict[int, float] | None]:
        """Return class weights, in the sample weights if there are any: Keras takes only one of them."""
        if train.weight_name is not None:
            return weigh_by_class(train, len(self.names), self.names), None
        assert train.labels is not None
        return train, class_weights(train.labels, self.names)

    def check_model(self, model: str) -> None:
        """Allow all models."""

    def output_of(self, outputs: NDArray[np.float64], near: float) -> tuple[Output, str]:
        """Return whether outputs are probabilities, which sum to 1."""
        within = outputs.min() >= 0 and outputs.max() <= 1 + near if len(outputs) else False
        if within and np.abs(outputs.sum(axis=-1) - 1).max() <= near:
            return "probabilities", "are between 0 and 1 and sum to 1"
        return "logits", "do not sum to 1, or are not between 0 and 1"

    def keras_loss_of(self, output: Output) -> Any:
        """Return the sparse categorical cross-entropy."""
        return load_keras().losses.SparseCategoricalCrossentropy(from_logits=output == "logits")

    def metrics(self, output: Output) -> list[Any]:
        """Return the accuracy."""
        return ["accuracy"]

    @property
    def score_width(self) -> int:
        """One true class and one predicted class."""
        return 1

    def decode(self, outputs: NDArray[np.float64], output: Output) -> NDArray[np.float64]:
        """Return logarithms of probabilities."""
        return log_probabilities(outputs, output)

    def score(self, labels: NDArray[Any], scores: NDArray[np.float64], bad: int) -> ClassScore:
        """Return the classes of the rows, and the sum of their cross-entropies."""
        loss = -float(scores[np.arange(len(labels)), labels].sum())
        return ClassScore(labels, scores.argmax(axis=1), loss, bad)

    def joined(self, scores: Iterable[ClassScore], rows: int) -> dict[str, Any]:
        """Return loss, accuracy, figures per class and the confusion matrix."""
        return join_scores(self.names, scores)

    def predicted(self, scores: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return probabilities."""
        return np.exp(scores).astype(np.float32)

    def columns(self, predictions: NDArray[np.float32], known: NDArray[np.bool_]) -> list[Column]:
        """Return the class, and the probability of each class."""
        labels = [self.names[i] if there else "" for i, there in zip(predictions.argmax(axis=1), known, strict=True)]
        return [
            Column("predicted", labels),
            *(Column(f"p_{name}", p) for name, p in zip(self.names, predictions.T, strict=True)),
        ]

    def json_head(self) -> dict[str, Any]:
        """Return the classes."""
        return {"classes": list(self.names)}

    def json_row(self, prediction: Sequence[float] | None) -> dict[str, Any]:
        """Return the class, and the probability of each class."""
        if prediction is None:
            return {"predicted": None, "probabilities": None}
        best = self.names[int(np.argmax(prediction))]
        values = {name: round(p, 6) for name, p in zip(self.names, prediction, strict=True)}
        return {"predicted": best, "probabilities": values}

    def result(
        self,
        predictions: NDArray[np.float32],
        describe: Callable[[int], str],
        errors: Mapping[int, str],
        said: Sequence[str],
    ) -> Predictions:
        """Return the classes and their probabilities."""
        return Predictions(predictions, self.names, describe, errors, said)

    def tally(self) -> Tally:
        """Return a counter of classes."""
        return _Counts(self.names)

    def baseline(self, source: Source | None) -> Baseline | None:
        """Return the accuracy of always answering the largest class."""
        largest = largest_class(source, self.names)
        if largest is None:
            return None
        return Baseline("accuracy", largest["share"], f"always answering {largest['class']!r}", True)

    def summary(self, source: Source | None) -> dict[str, Any]:
        """Return the largest class of the validation data, and its share."""
        return {"largest_class": largest_class(source, self.names)}


class _Counts(Tally):
    """Number of rows of each class."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names, self._counts = names, np.zeros(len(names), np.int64)

    def add(self, predictions: NDArray[np.float32], known: NDArray[np.bool_]) -> None:
        """Count the classes."""
        self._counts += np.bincount(predictions[known].argmax(axis=1), minlength=len(self._names))

    def line(self) -> str:
        """Return the first classes with their counts."""
        counts = zip(self._names[:_SHOWN], self._counts.tolist(), strict=False)
        return ", ".join(f"{name} {count:,}" for name, count in counts) + (", ..." if len(self._names) > _SHOWN else "")


def log_probabilities(outputs: NDArray[np.float64], kind: str) -> NDArray[np.float64]:
    """Convert a model's outputs, ``"probabilities"`` or ``"logits"``, to logarithms of probabilities."""
    if kind == "probabilities":
        return np.log(np.clip(outputs, 1e-12, 1.0))
    shifted = outputs - outputs.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


class ClassScore(NamedTuple):
    """Score of one batch.

    Attributes
    ----------
    true, predicted : ndarray of int64, shape (rows,)
        Classes of the rows that have a prediction.
    loss : float
        Sum of their cross-entropies in nats.
    bad : int
        Number of rows without a prediction.
    """

    true: NDArray[np.int64]
    predicted: NDArray[np.int64]
    loss: float
    bad: int


def join_scores(classes: Sequence[str], batches: Iterable[ClassScore]) -> dict[str, Any]:
    """Join the scores of batches: loss, accuracy, and the confusion matrix.

    Parameters
    ----------
    classes
        Class names.
    batches
        Scores of all batches.

    Returns
    -------
    dict
        ``loss`` (mean cross-entropy in nats), ``accuracy``, ``rows``, ``bad_rows``, ``classes``, ``per_class`` (for each
        class ``precision``, ``recall``, ``f1``, ``rows``; None where undefined), and ``confusion``: a list of lists,
        [true class][predicted class].
    """
    count = len(classes)
    confusion = np.zeros((count, count), np.int64)
    loss = 0.0
    bad = 0
    for batch in batches:
        loss += batch.loss
        np.add.at(confusion, (batch.true, batch.predicted), 1)
        bad += batch.bad
    rows = int(confusion.sum())
    if not rows:
        raise BadSetting("no row could be read")
    per_class = []
    for i, name in enumerate(classes):
        hit, true, predicted = int(confusion[i, i]), int(confusion[i].sum()), int(confusion[:, i].sum())
        precision = hit / predicted if predicted else None
        recall = hit / true if true else None
        f1 = 2 * hit / (true + predicted) if true and true + predicted else None
        per_class.append({"class": name, "precision": precision, "recall": recall, "f1": f1, "rows": true})
    return {
        "loss": loss / rows,
        "accuracy": float(np.trace(confusion)) / rows,
        "rows": rows,
        "bad_rows": bad,
        "classes": list(classes),
        "per_class": per_class,
        "confusion": confusion.tolist(),
    }
