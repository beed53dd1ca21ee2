"""Settings of a training run: checked when created, and saved in config.json."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from bitesize.errors import BadSetting
from bitesize.memory.sizes import parse_size
from bitesize.packed.cache_settings import Cache
from bitesize.sources.base import Source
from bitesize.spec import Encoded, Field, axes_of_rows, is_volume
from bitesize.training.normalize_setting import named_step
from bitesize.training.run_log.writer import TRACKERS
from bitesize.transforms.base import Transform, check_size
from bitesize.transforms.crop import RandomResizedCrop, Resize
from bitesize.transforms.geometry import Flip
from bitesize.transforms.normalize import Scale

# A thousand photographs of this size train in minutes on two cores; 96 to 224 are usual.
IMAGE_SIZE = 96

# Settings of `bitesize.open` that a run saves, and their names here; evaluation and prediction use the same settings.
OPENING = {
    name: name for name in ("fields", "mode", "orient", "labels_as", "tag_delimiter", "file_is_row", "axes", "pages")
} | {"weights": "sample_weights"}


@dataclass(frozen=True)
class TrainSettings:
    """Settings of ``bitesize train``; the help of the command gives the reason for each default.

    Parameters
    ----------
    data, labels, val
        Arguments of `bitesize.open`: the data, labels as text (see `parse_labels`), and validation data.
    split, fields, mode, orient, labels_as, tag_delimiter, file_is_row, axes, pages
        As in `bitesize.open`.
    sample_weights
        Column of sample weights, the ``weights`` of `bitesize.open`.
    val_split
        Share of the data held back for validation if ``val`` is not given; 0 for none.
    split_by
        Grouping of rows when they are split, the ``by`` of `bitesize.sources.Source.split`.
    folds, fold
        Number of parts of a cross-validation, and the part (from 1) that this run validates on; 0 for none.
    task, loss
        What the model learns, as in `training.tasks.choose.choose_task`, and the loss; ``"auto"`` finds the task from the labels, and
        takes the task's default loss.
    ignore_class
        Number in masks whose pixels count in neither loss nor metrics, ``"none"``, or ``"auto"``: 255, if it is beside a few classes.
    model, weights
        As in `training.models.build_model`; ``"auto"`` chooses by the shape of the rows.
    epochs, batch_size, memory, image_size, learning_rate, seed
        Number of epochs, rows per batch, memory budget, side of images, peak learning rate and seed; ``epochs`` and
        ``batch_size`` may be ``"auto"``, ``image_size`` None for the size of the model or the data.
    class_weights
        Whether rows are weighted so that all classes count equally; of tags, those that rows have count as much as those they lack.
    early_stopping
        Number of epochs without a lower validation loss after which training stops; 0 for never, ``"auto"`` for a share of all
        epochs if there is validation data.
    frozen_epochs
        Number of first epochs with frozen pretrained weights, ``"auto"`` for a third of all. 0: all weights are trained from the
        start, including batch normalization.
    augment
        Whether images are cropped and flipped at random.
    normalize
        Normalization of values: ``"model"`` to the range that the model expects, ``"unit"`` to 0 to 1, ``"data"`` to mean 0
        and deviation 1 of the training data, ``"none"`` for no change; or a transform, as in `training.normalize_setting.named_step`.
    on_error, max_bad
        Action for a bad row; largest share of rows that may be skipped.
    cache, cache_folder
        Size and folder of a cache of decoded images, as in `bitesize.Cache`; None for no cache.
    cache_kind, max_side
        The ``kind`` and ``max_side`` of `bitesize.Cache`, which apply to training, validation, evaluation and prediction, also
        without a cache.
    checkpoint_every
        Interval of checkpoints: minutes (``"5min"``) or batches (``"200"``); ``"0"`` for never.
    log
        Names of trackers to which training is logged, besides ``log.jsonl`` of the run: those of `training.run_log.writer.TRACKERS`.
    prometheus
        File with the present figures for Prometheus, or None.
    """

    data: str
    labels: str | None = None
    val: str | None = None
    val_split: float = 0.1
    model: str = "auto"
    weights: str | None = None
    epochs: int | Literal["auto"] = "auto"
    batch_size: int | Literal["auto"] = 32
    memory: str = "auto"
    image_size: int | None = None
    learning_rate: float = 1e-3
    seed: int = 0
    class_weights: bool = False
    early_stopping: int | Literal["auto"] = "auto"
    augment: bool = True
    normalize: str = "model"
    on_error: Literal["raise", "skip"] = "raise"
    max_bad: float = 0.01
    checkpoint_every: str = "5min"
    split: str | None = None
    fields: Any = None
    mode: str = "auto"
    orient: bool = True
    sample_weights: str | None = None
    labels_as: str | None = None
    tag_delimiter: str | None = None
    file_is_row: bool | None = None
    axes: str | None = None
    split_by: str | None = None
    folds: int = 0
    fold: int = 0
    frozen_epochs: int | Literal["auto"] = "auto"
    cache: str | None = None
    cache_folder: str | None = None
    cache_kind: Literal["exact", "pixels"] = "exact"
    max_side: int | None = None
    pages: str | None = None
    task: str = "auto"
    loss: str = "auto"
    ignore_class: str = "auto"
    log: tuple[str, ...] = ()
    prometheus: str | None = None

    def __post_init__(self) -> None:
        if self.epochs != "auto" and self.epochs < 1:
            raise BadSetting(f"--epochs must be at least 1, or auto, not {self.epochs}")
        if not 0 <= self.val_split < 1:
            raise BadSetting(f"--val-split must be a share of the data, at least 0 and below 1, not {self.val_split:g}")
        if not 0 < self.learning_rate < float("inf"):
            raise BadSetting(f"--learning-rate must be above 0, not {self.learning_rate:g}")
        for name in ("early_stopping", "frozen_epochs"):
            if (epochs := getattr(self, name)) != "auto" and epochs < 0:
                raise BadSetting(f"--{name.replace('_', '-')} must be a number of epochs, or auto, not {epochs}")
        if self.weights is None and self.frozen_epochs != "auto":
            raise BadSetting("--frozen-epochs is for pretrained weights: it needs --weights")
        named_step(self.normalize)
        if self.folds < 0 or self.folds == 1 or not 0 <= self.fold <= self.folds:
            raise BadSetting(f"--folds must be a number of parts of at least 2, not {self.folds}")
        if self.folds and self.val is not None:
            raise BadSetting("--folds validates on parts of DATA: drop --val")
        if self.split_by and not self.folds and (self.val is not None or not self.val_split):
            raise BadSetting(
                "--split-by controls how DATA is split for validation: it needs --val-split or --folds, and no --val"
            )
        if self.batch_size != "auto" and self.batch_size < 1:
            raise BadSetting(f"--batch-size must be at least 1, or auto, not {self.batch_size}")
        if not 0 <= self.max_bad <= 1:
            raise BadSetting(f"--max-bad must be a share of the rows, from 0 to 1, not {self.max_bad:g}")
        if self.ignore_class not in ("auto", "none") and not self.ignore_class.isdecimal():
            raise BadSetting(f"--ignore-class must be auto, none or a number in the masks, not {self.ignore_class!r}")
        parse_interval(self.checkpoint_every)
        self._check_log()
        self._check_cache()
        if self.image_size is not None:
            check_size("--image-size", self.image_size, self.image_size)
        if self.memory != "auto":
            parse_size(self.memory)
        if self.early_stopping not in (0, "auto") and self.val is None and not self.val_split and not self.folds:
            raise BadSetting("--early-stopping needs validation data: use --val or --val-split")

    def _check_log(self) -> None:
        object.__setattr__(self, "log", tuple(self.log))  # a list in files
        for name in self.log:
            if name not in TRACKERS:
                raise BadSetting(f"--log must be one of {', '.join(TRACKERS)}, not {name!r}")
        if self.prometheus is not None and not self.prometheus.endswith(".prom"):
            raise BadSetting(
                f"--prometheus must be a file that ends in .prom, as the node exporter needs it, not {self.prometheus!r}"
            )

    def _check_cache(self) -> None:
        if self.cache is None and self.cache_folder is not None:
            raise BadSetting("--cache-folder needs --cache, with a size such as 40GiB, or auto")
        if self.cache_kind not in ("exact", "pixels"):
            raise BadSetting(f"--cache-kind must be exact or pixels, not {self.cache_kind!r}")
        if self.max_side is not None:
            check_size("--max-side", self.max_side, self.max_side)
        if self.cache not in (None, "auto"):
            parse_size(self.cache)

    @property
    def caching(self) -> Cache | None:
        """Settings of the cache of the loaders, or None."""
        if self.cache is None:
            return self.values_of_cache
        return Cache(self.cache_folder, self.cache, self.cache_kind, self.max_side)

    @property
    def values_of_cache(self) -> Cache | None:
        """Settings of a cache that keeps nothing, if ``cache_kind`` or ``max_side`` changes values; else None."""
        changes = self.cache_kind != "exact" or self.max_side is not None
        return Cache(size=0, kind=self.cache_kind, max_side=self.max_side) if changes else None

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as a dict for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> TrainSettings:
        """Return the settings from a saved dict, also of an earlier version."""
        saved = dict(saved)
        if "pretrained" in saved:  # then `weights` was the column of sample weights
            saved |= {"weights": saved["pretrained"], "sample_weights": saved.get("weights")}
            saved["frozen_epochs"] = "auto" if saved["weights"] is None else 0  # no weights were frozen then
        known = {each.name for each in fields(cls)}
        return cls(**{name: value for name, value in saved.items() if name in known})

    @property
    def tunes(self) -> bool:
        """Return whether pretrained weights are first frozen, then tuned."""
        return self.weights is not None and self.frozen_epochs != 0

    @property
    def opening(self) -> dict[str, Any]:
        """Settings of `bitesize.open`, without data, labels and split."""
        return {name: getattr(self, own) for name, own in OPENING.items()}

    def with_opening(self, given: Mapping[str, Any]) -> TrainSettings:
        """Return these settings with other settings of `bitesize.open`, by the names in `bitesize.open`."""
        return replace(self, **{OPENING[name]: value for name, value in given.items()})


def parse_labels(text: str | None) -> str | list[str] | bool | None:
    """Parse labels: ``none`` for no labels, ``a,b`` for several columns, otherwise unchanged.

    Examples
    --------
    >>> parse_labels("none"), parse_labels("round,bright"), parse_labels("(cat|dog)")
    (False, ['round', 'bright'], '(cat|dog)')
    """
    if text == "none":
        return False
    if text is not None and "," in text and "(" not in text and not os.path.exists(text):
        return [word.strip() for word in text.split(",")]
    return text


def parse_interval(text: str) -> tuple[int | None, float | None]:
    """Parse the interval of checkpoints.

    Parameters
    ----------
    text
        ``"200"`` for batches, ``"5min"`` for minutes.

    Returns
    -------
    batches : int or None
        0 for never.
    minutes : float or None

    Raises
    ------
    BadSetting
        If the text is neither.

    Examples
    --------
    >>> parse_interval("200"), parse_interval("0.5 min")
    ((200, None), (None, 0.5))
    """
    number, minutes = text.strip().removesuffix("min").strip(), text.strip().endswith("min")
    try:
        if not minutes and int(number) >= 0:
            return int(number), None
        if minutes and 0 < float(number) < float("inf"):
            return None, float(number)
    except ValueError:
        pass  # said below
    raise BadSetting(
        f"--checkpoint-every must be a number of batches, such as 200, or of minutes, such as 5min, not {text!r}"
    )


def geometry(source: Source, image_size: int | None, augment: bool) -> list[Transform]:
    """Choose transforms that give rows of a source one size; with random augmentation for training.

    All three sides of volumes become ``image_size``, as `Resize` does with one side: their depth may differ as well as the other two, and a model needs
    one shape.

    Parameters
    ----------
    source
        Images of any size, or rows of a fixed size, which keep their size unless ``image_size`` is given.
    image_size
        Side of the square in pixels, or of the cube in voxels; None for the default.
    augment
        Whether to crop and flip at random. Rows of fixed size are unchanged, because they may not be images.

    Raises
    ------
    BadSetting
        If ``image_size`` is given for rows that are not images.
    """
    field = source.spec["x"]
    if isinstance(field, Encoded):
        size = image_size or IMAGE_SIZE
        # At least 35 % of the area: objects stay recognizable, and no two epochs show the same picture.
        return [RandomResizedCrop(size, scale=(0.35, 1.0)), Flip()] if augment else [Resize(size)]
    sides = 3 if is_volume(field) else 2
    if image_size is None or field.shape[:sides] == (image_size,) * sides:
        return []
    if sides == 2 and not is_image(field):
        raise BadSetting(f"--image-size {image_size} is for images and volumes, but the rows are {field}")
    return [Resize(image_size)]


def preparation(source: Source, image_size: int | None, augment: bool) -> list[Transform]:
    """Choose transforms for data before a model is known: one size, and 8-bit values scaled to 0 to 1.

    Raises
    ------
    BadSetting
        As `geometry` does, or if ``image_size`` is not a valid size.
    """
    if image_size is not None:
        check_size("--image-size", image_size, image_size)
    what = source.spec["x"]
    is_8bit = what.dtype.name == "uint8"
    return [*geometry(source, image_size, augment), *([Scale(1 / 255)] if is_8bit else [])]


def is_image(what: Field | Encoded) -> bool:
    """Return whether rows are images: encoded, or arrays of (height, width, channels)."""
    return isinstance(what, Encoded) or axes_of_rows(what) == "HWC"
