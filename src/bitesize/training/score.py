"""Evaluation and prediction: each row exactly once, in order, in batches of one shape."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.engine.loader import Loader
from bitesize.errors import BadFile, BadSetting
from bitesize.memory.budget import Budget, as_budget
from bitesize.sources.base import Source
from bitesize.spec import CHANNELS, Encoded, Field
from bitesize.training.backend import load_keras
from bitesize.training.run import RunFolder
from bitesize.training.settings import is_image
from bitesize.training.values import adapt_scaling, channels_of, measure_values, saved_scaling
from bitesize.transforms.crop import Resize

# Modes of images by their channels.
_MODES = {channels: mode for mode, channels in CHANNELS.items() if mode != "I;16"}
# Row numbers, which could be read, labels, and logarithms of probabilities.
Scored = tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[Any] | None, NDArray[np.float64]]


class Scorer:
    """A trained run, ready to predict.

    Parameters
    ----------
    run
        Its folder.
    """

    def __init__(self, run: RunFolder) -> None:
        self.run = run
        self.config = run.config()
        self.classes = run.classes()
        self.model = _loaded(run.saved)
        self.said: list[str] = []

    def loader(self, source: Source, memory: Any, batch_size: int, on_error: Any, max_bad: float = 0.01) -> Loader:
        """Make a loader that does to rows what training's validation did, whatever the range of these rows.

        Lines about what differs from the training data are in `said` afterwards.

        Raises
        ------
        BadSetting
            If rows come out with another shape than the model takes, or values are clearly in other units than those of the
            training data.
        """
        budget, expected = as_budget(memory), tuple(self.config["input_shape"])
        self._refuse_other_channels(source.spec["x"], expected)
        loader = Loader(
            source,
            batch_size=min(batch_size, len(source)),
            transforms=self._transforms(source, budget),
            memory=budget,
            shuffle=False,
            last="pad",  # one shape for all batches: nothing is compiled twice
            dtype=np.float32,
            on_error=on_error,
            max_bad=max_bad,
        )
        shape = loader.spec["x"].shape
        if shape != expected:
            loader.close()
            raise BadSetting(f"the run was trained on rows of shape {expected}, and the data has {shape}")
        return loader

    def _refuse_other_channels(self, what: Field | Encoded, expected: tuple[int, ...]) -> None:
        """Raise where images have other channels than those of the run, which its scaling could not take."""
        if len(expected) != 3 or not is_image(what) or channels_of(what) == expected[2]:
            return
        encoded = isinstance(what, Encoded)
        shape = (*expected[:2], channels_of(what)) if isinstance(what, Encoded) else what.shape
        hint = f": --mode {_MODES[expected[2]]} reads images so" if encoded and expected[2] in _MODES else ""
        raise BadSetting(f"the run was trained on rows of shape {expected}, and the data has {shape}{hint}")

    def _transforms(self, source: Source, budget: Budget) -> list[Any]:
        steps, trained = saved_scaling({"scaling": [], **self.config})
        geometry = self.run.transforms()[: len(self.config["transforms"]) - len(steps)]
        expected = self.config["input_shape"]
        if not geometry and _is_of_other_size(source.spec["x"], expected):
            geometry = [Resize((expected[0], expected[1]))]
            self.said.append(f"images are resized to {expected[0]} x {expected[1]}, the shape of the run's rows")
        adapted, differs = adapt_scaling(steps, trained, measure_values(source, budget))
        self.said += [differs] if differs else []
        return [*geometry, *adapted]

    def batches(self, loader: Loader, progress: Callable[[int], None]) -> Iterator[Scored]:
        """Predict batch by batch.

        Yields
        ------
        rows, mask, labels, log_probabilities
            Row numbers and, for each, whether it could be read, its label (or None) and the logarithm of each class's
            probability, shape (k, classes). Padding is cut off.
        """
        for batch in loader:
            real = int((batch.rows >= 0).sum())
            outputs = np.asarray(self.model.predict_on_batch(batch["x"]), np.float64)[:real]
            labels = batch["y"][:real].copy() if "y" in batch else None
            yield batch.rows[:real], batch.mask[:real], labels, log_probabilities(outputs, self.config["output"])
            progress(real)


def _is_of_other_size(what: Field | Encoded, expected: Sequence[int]) -> bool:
    """Whether rows are images of another height or width than a run's rows, which are images, too."""
    if len(expected) != 3 or isinstance(what, Encoded):
        return len(expected) == 3
    images = is_image(what) and what.shape[2] == expected[2]
    return images and list(what.shape[:2]) != list(expected[:2])


def _loaded(path: Path) -> Any:
    """Load a model of Keras or scikit-learn."""
    if path.suffix != ".keras":
        from bitesize.training.estimators import load_estimator  # it builds upon this module

        return load_estimator(path)
    keras = load_keras()
    try:
        return keras.models.load_model(path, compile=False)
    except Exception as error:  # Keras raises many types for damaged or foreign files
        raise BadFile(f"{path} cannot be loaded: {error}") from error


def log_probabilities(outputs: NDArray[np.float64], kind: str) -> NDArray[np.float64]:
    """Turn a model's outputs, which are ``"probabilities"`` or ``"logits"``, into logarithms of probabilities."""
    if kind == "probabilities":
        return np.log(np.clip(outputs, 1e-12, 1.0))
    shifted = outputs - outputs.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def evaluate(classes: Sequence[str], batches: Iterable[Scored]) -> dict[str, Any]:
    """Measure loss, accuracy, and what is taken for what.

    Parameters
    ----------
    classes
        Their names.
    batches
        As `Scorer.batches` gives them, with labels.

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
    for _, mask, labels, log_p in batches:
        assert labels is not None
        y, p = labels[mask], log_p[mask]
        loss -= float(p[np.arange(len(y)), y].sum())
        np.add.at(confusion, (y, p.argmax(axis=1)), 1)
        bad += int((~mask).sum())
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
