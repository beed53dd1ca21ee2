"""Task segment: one class per pixel of an image, or voxel of a volume."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile, BadSetting
from bitesize.sources.base import Source
from bitesize.sources.choices import Choice
from bitesize.spec import is_volume
from bitesize.training.mask_predictions import MaskPredictions
from bitesize.training.tasks.base import Output, Task
from bitesize.training.tasks.labels import describe_labels
from bitesize.training.tasks.mask_numbers import count_numbers, count_numbers_and_masks, is_mask, numbers_of
from bitesize.training.tasks.pixel_loss import pixel_classes
from bitesize.training.tasks.pixel_score import PixelScore, join_scores, of_constant
from bitesize.training.tasks.results import Baseline, Column, Tally

# Number that marks pixels without a class in VOC, Cityscapes and ADE20K, if the masks have at least two and at most this many other numbers.
VOID, _FEW = 255, 64
# Masks with more numbers than this have numbers of objects, or are images.
_MOST_CLASSES = 256
# More numbers than this, most of which are in one mask only, may number objects.
_MOST_ALONE = 20
_SHOWN = 12
# Bytes for each pixel whose scores are counted: true and predicted classes as int64, which of them count, and the pairs of both.
_NUMBERS_NBYTES = 48
_MODELS = (
    "use unet, or a model of your own, file.py:function or a .keras file, that returns one value per class for each pixel"
)


@dataclass(frozen=True)
class Segment(Task):
    """One class per pixel; see `Task`.

    Parameters
    ----------
    numbers
        Number of each class in masks.
    ignored
        Number of pixels that count in neither loss nor metrics; None if there is none.
    counts
        Pixels of each class in the masks of the data that the run was trained on.
    weighs
        Whether pixels are weighted so that all classes count equally.
    size
        Height and width of the model's input, or depth, height and width; of a saved run.
    dimensions
        Number of axes of masks: 2 for images, 3 for volumes.
    """

    numbers: tuple[int, ...] = ()
    ignored: int | None = None
    counts: tuple[int, ...] = ()
    weighs: bool = False
    size: tuple[int, ...] = ()
    dimensions: int = 2

    name: ClassVar[str] = "segment"
    one: ClassVar[str] = "class"
    many: ClassVar[str] = "classes"
    losses: ClassVar[tuple[str, ...]] = ("crossentropy",)
    endings: ClassVar[Mapping[str, Output]] = {
        "softmax": "probabilities", "sigmoid": "probabilities", "linear": "logits", "logsoftmax": "logits",
    }  # fmt: skip
    labels_are: ClassVar[str] = "masks"
    keras_loss: ClassVar[str] = "SparseCategoricalCrossentropy"
    weights_in_loss: ClassVar[bool] = True
    has_confusion: ClassVar[bool] = True
    digits: ClassVar[str] = ".4f"
    not_returned: ClassVar[str] = "neither logits nor probabilities for each pixel"
    precision: ClassVar[type[np.floating[Any]]] = np.float32
    predictions_are: ClassVar[str] = "masks"

    @classmethod
    def refuse(cls, model: str) -> None:
        """Raise for models that return one prediction per row."""
        if model in ("auto", "unet") or model.endswith((".keras", ".py")) or ".py:" in model:
            return
        raise BadSetting(f"--model {model} predicts one class per row, but --task segment needs one per pixel: {_MODELS}")

    @classmethod
    def of(
        cls, source: Source, labels: str | None, where: str, loss: str = "auto", ignore_class: str = "auto"
    ) -> tuple[Self, Source]:
        """Return the task of a source with masks, whose classes are the numbers in all masks."""
        if not is_mask(source):
            raise BadSetting(
                f"--task segment needs a mask for each image, whole numbers of 8 or 16 bits, but the labels of {where} are {describe_labels(source)}"
            )
        found, masks = count_numbers_and_masks(source)
        ignored = _ignored(found, ignore_class)
        numbers = tuple(number for number in found if number != ignored)
        names = tuple(map(str, numbers))
        if source.classes and max(numbers, default=0) < len(source.classes):
            names, numbers = source.classes, tuple(range(len(source.classes)))
        if len(numbers) < 2:
            raise BadSetting(
                f"the masks of {where} have only one class ({', '.join(names) or 'none'}): a model needs at least two"
            )
        if len(numbers) > _MOST_CLASSES:
            raise BadSetting(
                f"the masks of {where} have {len(numbers):,} different numbers: are they numbers of objects, or images? --task segment takes at most "
                f"{_MOST_CLASSES} classes"
            )
        alone = sum(masks[number] == 1 for number in numbers)
        if not source.classes and len(numbers) > _MOST_ALONE and alone > len(numbers) / 2 and len(source) > 1:
            text = f"masks: {len(numbers):,} numbers as classes, though {alone:,} are in one mask only: do they number objects? Then save masks > 0"
            source.choices = (*source.choices, Choice(text, ""))
        counts = tuple(found.get(number, 0) for number in numbers)
        dimensions = 3 if is_volume(source.spec["x"]) else 2
        return cls(names, loss, numbers, ignored, counts, dimensions=dimensions), source

    def matched(self, source: Source, labels: str | None, where: str) -> Source:
        """Return other data, which needs masks, too."""
        if not is_mask(source):
            raise BadSetting(
                f"the model needs a mask for each image, but the labels of {where} are {describe_labels(source)}"
            )
        return source

    def check_labels(self, source: Source) -> None:
        """Raise for the first mask with a number that the training data does not have."""
        for row, counts, _ in numbers_of(source):
            self._check(np.flatnonzero(counts), f"{source.describe(row)} (row {row})")

    def check_batch(self, labels: NDArray[Any], rows: NDArray[np.int64], describe: Callable[[int], str]) -> None:
        """Raise for the first mask with a number that the training data does not have."""
        for mask, row in zip(labels, rows.tolist(), strict=True):
            self._check(np.unique(mask), f"{describe(row)} (row {row})")

    def _check(self, numbers: NDArray[Any], where: str) -> None:
        unknown = np.setdiff1d(numbers, [*self.numbers, *([] if self.ignored is None else [self.ignored])])
        if len(unknown):
            known = ", ".join(map(str, self.numbers[:_SHOWN])) + (", ..." if len(self.numbers) > _SHOWN else "")
            raise BadFile(f"the mask of {where} has the number {unknown[0]}, which the training data does not have: {known}")

    def fitted(self, train: Source, *, class_weights: bool = False) -> Self:
        """Return the task with the choice of weights."""
        if class_weights and 0 in self.counts:
            raise BadSetting(f"--class-weights: the class {self.names[self.counts.index(0)]!r} has no pixels")
        return replace(self, weighs=class_weights)

    def weighed(self, train: Source) -> tuple[Source, dict[int, float] | None]:
        """Return the data unchanged: the weights of classes are in the loss."""
        return train, None

    @property
    def class_weights(self) -> list[float] | None:
        """Weight of each class: pixels / (classes * pixels of the class); None if all pixels count equally."""
        total = sum(self.counts)
        return [total / (len(self.counts) * count) for count in self.counts] if self.weighs else None

    # The model

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return one value per class for each pixel."""
        return (*shape[: self.dimensions], len(self.names))

    def fits_output(self, given: tuple[int | None, ...], shape: tuple[int, ...]) -> bool:
        """Return whether outputs have one value per class for each pixel, or of two classes one value; sides may be unknown."""
        sides = given[1:-1]
        if len(sides) != self.dimensions or any(side not in (None, need) for side, need in zip(sides, shape, strict=False)):
            return False
        return given[-1] == len(self.names) or (given[-1] == 1 and len(self.names) == 2)

    def ending(self, activation: str, count: int | None) -> Output | None:
        """Return the type of outputs that end in an activation: one value per pixel ends in a sigmoid, several in a softmax."""
        if (activation == "sigmoid") != (count == 1) and activation in ("sigmoid", "softmax", "logsoftmax"):
            return None
        return self.endings.get(activation)

    def head(self, keras: Any) -> Any:
        """Return a convolution of single pixels."""
        return getattr(keras.layers, f"Conv{self.dimensions}D")(len(self.names), 1)

    def default_model(self, shape: tuple[int, ...]) -> str | None:
        """Return the U-Net."""
        return "unet"

    def check_model(self, model: str) -> None:
        """Raise for models that return one prediction per row."""
        self.refuse(model)

    def output_of(self, outputs: NDArray[np.float64], near: float) -> tuple[Output, str]:
        """Return whether outputs are probabilities: from 0 to 1, and with a sum of 1 if there are several."""
        within = len(outputs) and outputs.min() >= -near and outputs.max() <= 1 + near
        if within and (outputs.shape[-1] == 1 or np.abs(outputs.sum(axis=-1) - 1).max() <= near):
            return "probabilities", "are between 0 and 1" + ("" if outputs.shape[-1] == 1 else " and sum to 1")
        return "logits", "do not sum to 1, or are not between 0 and 1"

    def keras_loss_of(self, output: Output) -> Any:
        """Return the cross-entropy of pixels."""
        weights = self.class_weights
        return pixel_classes().Crossentropy(self.numbers, from_logits=output == "logits", class_weights=weights)

    def metrics(self, output: Output) -> list[Any]:
        """Return pixel accuracy, mean IoU and Dice, from the counts of all pixels of an epoch."""
        _, accuracy, iou, dice = pixel_classes()
        kinds = {"pixel_accuracy": accuracy, "mean_iou": iou, "dice": dice}
        return [kind(self.numbers, name, output == "logits") for name, kind in kinds.items()]

    def takes_loss(self, loss: str, config: Mapping[str, Any]) -> bool:
        """Return whether a loss of Keras takes the numbers in masks: classes from 0 on, and the same pixels ignored."""
        same = self.ignored is None or self.ignored == config.get("ignore_class")
        return same and self._from_zero and loss == self.keras_loss.lower()

    @property
    def _from_zero(self) -> bool:
        return self.numbers == tuple(range(len(self.numbers)))

    @property
    def compile_with(self) -> str:
        """Advice for a model that is compiled with a loss that cannot take the labels."""
        if not self._from_zero:
            return f"no loss of Keras takes their numbers {', '.join(map(str, self.numbers[:_SHOWN]))}: leave compile out"
        if self.ignored is None:
            return super().compile_with
        settings = f"from_logits=True, ignore_class={self.ignored}"
        return f"compile it with keras.losses.{self.keras_loss}({settings}), or leave compile out"

    @property
    def points(self) -> str:
        """The word for what has a class."""
        return "voxels" if self.dimensions == 3 else "pixels"

    @property
    def said(self) -> list[str]:
        """Lines on the classes, on ignored pixels and on weights."""
        shares = [
            f"{name} ({100 * count / max(1, sum(self.counts)):.3g} % of the {self.points})"
            for name, count in list(zip(self.names, self.counts, strict=True))[:_SHOWN]
        ]
        lines = [f"classes of {self.points}: {', '.join(shares)}{', ...' if len(self.names) > _SHOWN else ''}"]
        if self.ignored is not None:
            what = "evaluate; the model's own loss and metrics get them" if self.own_loss else "loss and metrics"
            lines.append(f"pixels of number {self.ignored} are ignored by {what} (--ignore-class none counts them)")
        if self.weighs:
            lines.append("class weights: each pixel counts by pixels / (classes * pixels of its class)")
        return lines

    # Results

    @property
    def width(self) -> int:
        """Number of pixels at the model's input."""
        return int(np.prod(self.size)) if self.size else 1

    @property
    def score_width(self) -> int:
        """Numbers of the score of a batch of two rows; those of larger batches are not larger."""
        return max(1, len(self.names) ** 2 // 2)

    @property
    def scoring_nbytes(self) -> int:
        """Bytes for the outputs and scores of one row: four arrays of a value per class, and the numbers of classes in several types."""
        return self.width * (4 * 4 * len(self.names) + _NUMBERS_NBYTES)

    def decode(self, outputs: NDArray[Any], output: Output) -> NDArray[Any]:
        """Return logarithms of probabilities, with one value per class."""
        if outputs.shape[-1] == 1:
            other = np.zeros_like(outputs) if output == "logits" else 1 - outputs
            outputs = np.concatenate([other, outputs], axis=-1)
        if output == "probabilities":
            return np.asarray(np.log(np.clip(outputs, 1e-12, 1.0)))
        shifted = outputs - outputs.max(axis=-1, keepdims=True)
        return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))

    def score(self, labels: NDArray[Any], scores: NDArray[Any], bad: int) -> PixelScore:
        """Return the counts of pixels, and the sum of their cross-entropies."""
        labels = labels.reshape(scores.shape[:-1])
        table = np.full(max(self.numbers) + 2, -1, np.int64)
        table[list(self.numbers)] = range(len(self.numbers))
        return PixelScore.of(table[np.clip(labels.astype(np.int64), 0, len(table) - 1)], scores, bad)

    def joined(self, scores: Iterable[PixelScore], rows: int) -> dict[str, Any]:
        """Return loss, IoU and Dice, and the confusion matrix of pixels."""
        return join_scores(self.names, int(np.argmax(self.counts)) if self.counts else None, scores)

    def predicted(self, scores: NDArray[Any]) -> NDArray[np.float32]:
        """Return the class of each pixel, shape (rows, pixels); float32, so that NaN marks rows without a prediction."""
        return np.asarray(scores.argmax(axis=-1).reshape(len(scores), -1), np.float32)

    def empty(self, rows: int) -> NDArray[Any]:
        """Return an array for the predictions of rows: numbers of classes, uint8 or uint16."""
        return np.zeros((rows, self.width), self.mask_dtype)

    def held(self, predictions: NDArray[np.float32]) -> NDArray[Any]:
        """Return predictions as the numbers of classes in masks; 0 for rows without a prediction."""
        numbers, held = np.asarray(self.numbers, self.mask_dtype), np.zeros(predictions.shape, self.mask_dtype)
        for prediction, mask in zip(predictions, held, strict=True):  # one by one: indices take eight bytes each
            if not np.isnan(prediction[:1]).any():
                mask[...] = numbers[prediction.astype(np.int64)]
        return held

    @property
    def mask_dtype(self) -> np.dtype[Any]:
        """Dtype of masks: uint8, or uint16 if a number needs it."""
        return np.dtype(np.uint8 if max(self.numbers) < 256 else np.uint16)

    def shares(self, predictions: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the share of each class, shape (rows, classes)."""
        shares = np.empty((len(predictions), len(self.names)))
        for row, prediction in enumerate(predictions):
            shares[row] = [(prediction == number).mean() for number in range(len(self.names))]
        return shares

    def columns(self, predictions: NDArray[np.float32], known: NDArray[np.bool_]) -> list[Column]:
        """Return the share of each class."""
        shares = np.where(known[:, None], self.shares(predictions), np.nan)
        return [Column(f"share_{name}", values) for name, values in zip(self.names, shares.T, strict=True)]

    def json_head(self) -> dict[str, Any]:
        """Return the classes, and their numbers in masks."""
        return {"classes": list(self.names), "numbers": list(self.numbers)}

    def json_row(self, prediction: Sequence[float] | None) -> dict[str, Any]:
        """Return the share of each class."""
        if prediction is None:
            return {"shares": None}
        shares = self.shares(np.asarray([prediction], np.float32))[0]
        return {"shares": {name: round(share, 6) for name, share in zip(self.names, shares.tolist(), strict=True)}}

    def result(
        self,
        predictions: NDArray[Any],
        describe: Callable[[int], str],
        errors: Mapping[int, str],
        said: Sequence[str],
    ) -> MaskPredictions:
        """Return the masks."""
        masks = predictions.reshape(-1, *self.size)
        return MaskPredictions(masks, self.names, self.numbers, describe, errors, said)

    def tally(self) -> Tally:
        """Return a counter of pixels."""
        return _Shares(self)

    def baseline(self, source: Source | None) -> Baseline | None:
        """Return the mean IoU of predicting the most frequent class everywhere."""
        if source is None or not len(source) or not self.counts:
            return None
        found, most = count_numbers(source), int(np.argmax(self.counts))
        true = np.array([found.get(number, 0) for number in self.numbers])
        answer = f"predicting the class {self.names[most]!r} everywhere"
        return Baseline("mean_iou", of_constant(true, most), answer, True) if true.any() else None

    # Saving

    def as_dict(self) -> dict[str, Any]:
        """Return the settings."""
        more = {"numbers": list(self.numbers), "ignored": self.ignored, "counts": list(self.counts), "weighs": self.weighs}
        return {**super().as_dict(), **more, "dimensions": self.dimensions}

    @classmethod
    def saved(cls, names: tuple[str, ...], saved: Mapping[str, Any]) -> Self:
        """Return the task from its settings, and the shape of the run's rows."""
        numbers, counts = tuple(saved["numbers"]), tuple(saved["counts"])
        dimensions = saved.get("dimensions", 2)  # earlier versions had images only
        size = tuple(saved.get("input_shape", ()))[:dimensions]
        return cls(names, saved["loss"], numbers, saved["ignored"], counts, saved["weighs"], size, dimensions)


class _Shares(Tally):
    """Share of each class in all masks."""

    def __init__(self, task: Segment) -> None:
        self._task, self._sums, self._rows = task, np.zeros(len(task.names)), 0

    def add(self, predictions: NDArray[np.float32], known: NDArray[np.bool_]) -> None:
        """Count the pixels."""
        self._sums += self._task.shares(predictions)[known].sum(axis=0)
        self._rows += int(known.sum())

    def line(self) -> str:
        """Return the first classes with their shares."""
        shares = list(zip(self._task.names, 100 * self._sums / max(1, self._rows), strict=True))
        more = ", ..." if len(shares) > _SHOWN else ""
        return f"{self._task.points}: " + ", ".join(f"{name} {share:.3g} %" for name, share in shares[:_SHOWN]) + more


def _ignored(found: Mapping[int, int], ignore_class: str) -> int | None:
    """Return the number that is ignored; 255 by default, if it is beside a few small numbers and not one of only two.

    Beside larger ones, as in 0, 128, 255, it is a level of gray that stands for a class.
    """
    if ignore_class == "none":
        return None
    if ignore_class != "auto":
        return int(ignore_class)
    others = [number for number in found if number != VOID]
    return VOID if VOID in found and len(others) >= 2 and max(others) < _FEW else None
