"""`Task`: what a model learns, and everything that depends on it."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadSetting
from bitesize.memory.request import MemoryRequest
from bitesize.sources.base import Source
from bitesize.training.tasks.results import Baseline, Column, Tally

# Type of a model's outputs: logits, probabilities, or the targets themselves.
Output = Literal["logits", "probabilities", "values"]
# Rows of probabilities sum to 1 within this; half precision has three digits.
NEAR, NEAR_OF_HALVES = 1e-3, 2e-2
# Of the figures of one output in the results of `evaluate`.
FIGURES_NBYTES = 1024


@dataclass(frozen=True)
class Task(ABC):
    """A task: what a model learns, and everything that depends on it.

    It is created from the labels of the data (`of`), completed by the training rows (`fitted`), and saved in the config of a run
    (`as_dict`, `saved`).

    Parameters
    ----------
    names
        Names of the outputs: classes, tags or targets.
    loss
        Name of the loss, one of ``losses``.
    own_loss
        Whether the model is compiled with a loss of its own, which is used in place of ``loss``.

    Attributes
    ----------
    name : str
        Value of ``--task``.
    one, many : str
        The word for one output, and for several.
    losses : tuple of str
        Values of ``--loss``; the first one is the default.
    endings : Mapping of str to str
        Activations that a model may end in, and the type of its outputs then.
    labels_are : str
        What the loss gets as labels, for messages.
    keras_loss : str
        Class of `keras.losses` that is the default.
    has_confusion : bool
        Whether scores have a confusion matrix.
    weights_in_loss : bool
        Whether the weights of ``--class-weights`` are in the loss; else the rows have them.
    digits : str
        Format of numbers in a CSV of predictions.
    predictions_are : str
        The word for predictions, for messages.
    not_returned : str
        What other activations do not return, for messages.
    precision : type
        Type in which outputs are decoded.
    """

    names: tuple[str, ...]
    loss: str = ""
    own_loss: bool = field(default=False, kw_only=True)

    name: ClassVar[str]
    one: ClassVar[str]
    many: ClassVar[str]
    losses: ClassVar[tuple[str, ...]]
    endings: ClassVar[Mapping[str, Output]]
    labels_are: ClassVar[str]
    keras_loss: ClassVar[str]
    weights_in_loss: ClassVar[bool] = False
    has_confusion: ClassVar[bool] = False
    digits: ClassVar[str] = ".6f"
    predictions_are: ClassVar[str] = "probabilities"
    not_returned: ClassVar[str]
    precision: ClassVar[type[np.floating[Any]]] = np.float64

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        if self.loss in ("", "auto"):
            object.__setattr__(self, "loss", self.losses[0])
        if self.loss not in self.losses:
            raise BadSetting(f"--loss must be {' or '.join(self.losses)} for --task {self.name}, not {self.loss!r}")

    # The data

    @classmethod
    @abstractmethod
    def of(cls, source: Source, labels: str | None, where: str, loss: str = "auto") -> tuple[Self, Source]:
        """Return the task of a source, and the source with labels as the task takes them.

        Parameters
        ----------
        source
            Result of `open_to_train`.
        labels
            The option ``--labels``.
        where
            Name of the data, for messages.
        loss
            The option ``--loss``.

        Raises
        ------
        BadSetting
            If the labels are of another task; the message says what they are.
        """

    @abstractmethod
    def matched(self, source: Source, labels: str | None, where: str) -> Source:
        """Return other data with labels as those of the training data: outputs are matched by name.

        Raises
        ------
        BadSetting
            If it has no labels, or others.
        """

    def fitted(self, train: Source, *, class_weights: bool = False) -> Self:
        """Return the task with what the training rows determine, such as the deviation of targets."""
        return self

    def check_labels(self, source: Source) -> None:
        """Raise for labels of validation data that `matched` does not see, such as the numbers in masks."""

    def check_batch(self, labels: NDArray[Any], rows: NDArray[np.int64], describe: Callable[[int], str]) -> None:
        """Raise for labels of a batch that the model does not know; ``describe`` names a row."""

    def weighed(self, train: Source) -> tuple[Source, dict[int, float] | None]:
        """Return training data with which all classes count equally, and the ``class_weight`` of Keras, for ``--class-weights``.

        Raises
        ------
        BadSetting
            If the task has no classes.
        """
        raise BadSetting(f"--class-weights is for classes and tags, but --task is {self.name}")

    def for_loss(self, source: Source) -> Source:
        """Return a source whose labels are as the loss takes them."""
        return source

    # The model

    @property
    def described(self) -> str:
        """Number of outputs, such as ``"2 classes"``."""
        return f"{len(self.names):,} {self.one if len(self.names) == 1 else self.many}"

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of a model's output for one row, from the shape of the row."""
        return (len(self.names),)

    def fits_output(self, given: tuple[int | None, ...], shape: tuple[int, ...]) -> bool:
        """Return whether a model's output, with the axis of rows, is one for rows of a shape."""
        return given == (None, *self.output_shape(shape))

    def ending(self, activation: str, count: int | None) -> Output | None:
        """Return the type of outputs that end in an activation, from their last axis; None if the task does not take them."""
        return self.endings.get(activation)

    def head(self, keras: Any) -> Any:
        """Return the last layer of a model, which takes features of shape (rows, features)."""
        return keras.layers.Dense(len(self.names))

    def default_model(self, shape: tuple[int, ...]) -> str | None:
        """Return the value of ``--model auto`` for rows of a shape; None: chosen by the shape alone."""
        return None

    def check_model(self, model: str) -> None:
        """Raise `BadSetting` for a ``--model`` that cannot learn the task, before data is read."""
        if model.startswith("sklearn:"):
            raise BadSetting(
                f"--model {model} is a classifier, but --task is {self.name}, with {self.described}: use mlp, cnn or another model of Keras"
            )

    def output_of(self, outputs: NDArray[np.float64], near: float) -> tuple[Output, str]:
        """Return the type of outputs whose layers do not determine it, and why, as in "outputs {why}".

        Parameters
        ----------
        outputs
            Finite outputs of a few rows.
        near
            Largest difference by rounding.
        """
        return "values", ""

    @abstractmethod
    def keras_loss_of(self, output: Output) -> Any:
        """Return the loss of Keras for a type of outputs."""

    @abstractmethod
    def metrics(self, output: Output) -> list[Any]:
        """Return the metrics of Keras."""

    def takes_loss(self, loss: str, config: Mapping[str, Any]) -> bool:
        """Return whether a loss of Keras, by its name in lowercase letters and its settings, can take the labels."""
        return loss == self.keras_loss.lower()

    @property
    def compile_with(self) -> str:
        """Advice for a model that is compiled with a loss that cannot take the labels."""
        usual = re.sub(r"(?<!^)(?=[A-Z])", "_", self.keras_loss).lower()
        return f"compile it with {usual}, or leave compile out"

    def in_units(self, figures: Mapping[str, float]) -> dict[str, float]:
        """Return the figures of Keras for an epoch or batch in units of the data."""
        return dict(figures)

    @property
    def said(self) -> list[str]:
        """Lines about what was chosen for the task, with the option that changes it."""
        return []

    # Results

    @classmethod
    def refuse(cls, model: str) -> None:
        """Raise `BadSetting` for a ``--model`` that cannot learn the task, before labels are read."""

    # Size of results

    @property
    def width(self) -> int:
        """Numbers of a prediction of one row."""
        return len(self.names)

    @property
    def score_width(self) -> int:
        """Numbers of the score of one row."""
        return len(self.names)

    @property
    def scoring_nbytes(self) -> int:
        """Bytes for the outputs and scores of one row while they are computed; 0 if they are few."""
        return 0

    @abstractmethod
    def decode(self, outputs: NDArray[np.float64], output: Output) -> NDArray[np.float64]:
        """Return a model's outputs as scores: what `score` and `predicted` take."""

    @abstractmethod
    def score(self, labels: NDArray[Any], scores: NDArray[np.float64], bad: int) -> Any:
        """Return the score of a batch: small, and such that scores of batches can be joined, also by another process.

        Parameters
        ----------
        labels, scores
            Labels, and results of `decode`, of the rows that have a prediction.
        bad
            Number of other rows.
        """

    def joining(self, rows: int) -> MemoryRequest:
        """Return the memory that `joined` needs for this many rows: figures of each output; a confusion matrix, as an array and as lists."""
        count = len(self.names)
        nbytes, detail = FIGURES_NBYTES * count, f"figures of {self.described}"
        if self.has_confusion:
            nbytes, detail = nbytes + 16 * count**2, f"a matrix of {count:,} x {count:,}"
        return MemoryRequest(f"scoring {self.described}", nbytes, "loader", detail)

    @abstractmethod
    def joined(self, scores: Iterable[Any], rows: int) -> dict[str, Any]:
        """Join the scores of all batches: the figures of `bitesize evaluate --json`, with at least ``loss``, ``rows`` and ``bad_rows``.

        Parameters
        ----------
        scores
            Scores of all batches.
        rows
            Most rows that they have.
        """

    @abstractmethod
    def predicted(self, scores: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return predictions of rows, shape (rows, width), from the results of `decode`."""

    def empty(self, rows: int) -> NDArray[Any]:
        """Return an array for the predictions of rows."""
        return np.full((rows, self.width), np.nan, np.float32)

    def held(self, predictions: NDArray[np.float32]) -> NDArray[Any]:
        """Return predictions as `empty` holds them."""
        return predictions

    @abstractmethod
    def columns(self, predictions: NDArray[np.float32], known: NDArray[np.bool_]) -> list[Column]:
        """Return the columns of a file of predictions, between the path and the error."""

    @abstractmethod
    def json_head(self) -> dict[str, Any]:
        """Return what `bitesize predict --json` prints about the outputs."""

    @abstractmethod
    def json_row(self, prediction: Sequence[float] | None) -> dict[str, Any]:
        """Return what `bitesize predict --json` prints of one row; None: without a prediction."""

    @abstractmethod
    def result(
        self,
        predictions: NDArray[np.float32],
        describe: Callable[[int], str],
        errors: Mapping[int, str],
        said: Sequence[str],
    ) -> Any:
        """Return the result of `TrainedModel.predict`."""

    @abstractmethod
    def tally(self) -> Tally:
        """Return a counter of predictions, for the last line of `bitesize predict`."""

    def baseline(self, source: Source | None) -> Baseline | None:
        """Return the best answer that ignores the inputs, for validation data; None if it is unknown."""
        return None

    def summary(self, source: Source | None) -> dict[str, Any]:
        """Return what the summary of a run says about the baseline of its validation data."""
        found = self.baseline(source)
        return {"baseline": None if found is None else found._asdict()}

    # Saving

    def as_dict(self) -> dict[str, Any]:
        """Return what `saved` needs, without the names, as a dict for JSON."""
        return {"name": self.name, "loss": self.loss}

    @classmethod
    def saved(cls, names: tuple[str, ...], saved: Mapping[str, Any]) -> Self:
        """Return the task from the result of `as_dict`."""
        return cls(names, saved.get("loss", ""))


def names_of_numbers(source: Source, labels: str | None, count: int) -> tuple[str, ...]:
    """Return the names of the numbers that labels are: their columns, as the source or ``--labels`` names them, else ``y``, or ``y1``, ``y2`` ...

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> source = bs.open(np.zeros((3, 2)), np.zeros(3))
    >>> [names_of_numbers(source, labels, count) for labels, count in (("a,b", 2), ("a", 1), (None, 2), ("y.npy", 1))]
    [('a', 'b'), ('a',), ('y1', 'y2'), ('y',)]
    """
    if source.target_names is not None and len(source.target_names) == count:
        return source.target_names
    words = [word.strip() for word in (labels or "").split(",")]
    if len(words) == count and all(re.fullmatch(r"[^./\\()*]+", word) for word in words):
        return tuple(words)
    return ("y",) if count == 1 else tuple(f"y{i + 1}" for i in range(count))
