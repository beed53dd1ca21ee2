"""Datasets of Hugging Face's `datasets`: rows of their Arrow tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bitesize.errors import BadSetting
from bitesize.sources.arrow_rows import ArrowSource
from bitesize.sources.arrow_table import TableChunk
from bitesize.sources.base import OpenOptions, Source
from bitesize.sources.label_columns import labeled
from bitesize.sources.protocol import ChunkStarts
from bitesize.sources.splits import SplitRequired, split_rank

# Number of rows that are read together.
_TOGETHER = 16
# Number of rows of a single column that are read together.
_COLUMN_ROWS = 4096


class HuggingFace(ArrowSource):
    """A dataset with a length; its format setting is ignored."""

    title = "datasets of Hugging Face"
    has_splits = True
    package = "datasets"

    def __init__(self, dataset: Any, options: OpenOptions) -> None:
        self._dataset = dataset.with_format("arrow")
        rows = len(dataset)
        parts = [TableChunk(min(_TOGETHER, rows - start), 0) for start in range(0, rows, _TOGETHER)]
        super().__init__(parts, options, "the dataset of Hugging Face", None)
        label = self._columns.get(self._label or "")
        names = getattr(dataset.features.get(label.name), "names", None) if label is not None else None
        if names and self.classes is None:
            self.classes = tuple(names)

    def _class_columns(self) -> tuple[str, ...]:
        """Return the columns of the type ``ClassLabel``."""
        kinds = self._dataset.features.items()
        return tuple(name for name, kind in kinds if type(kind).__name__ == "ClassLabel")

    def _read_part(self, number: int) -> Any:
        return self._dataset[number * _TOGETHER : number * _TOGETHER + self._parts[number].rows]

    def _values(self, name: str) -> Iterator[Any]:
        """Yield one column, many rows at a time, without reading others."""
        column = self._dataset.select_columns([name])
        for start in range(0, len(self), _COLUMN_ROWS):
            yield from column[start : start + _COLUMN_ROWS].column(name).chunks

    def chunks(self) -> ChunkStarts | None:
        """Return None: rows cost the same in any order."""
        return None

    @classmethod
    def takes(cls, data: Any) -> bool:
        """Return whether this is a dataset of Hugging Face."""
        return type(data).__module__.partition(".")[0] == "datasets"

    @classmethod
    def opened(cls, data: Any, options: OpenOptions) -> Source:
        """Open a dataset, or one split of a dictionary of datasets."""
        if isinstance(data, dict):
            if options.split is None or options.split not in data:
                raise SplitRequired("the dataset", sorted(data, key=split_rank))
            data = data[options.split]
        elif options.split is not None:
            raise BadSetting(f"split={options.split!r}: this dataset has no splits")
        if not hasattr(data, "with_format") or not hasattr(data, "__len__"):
            raise BadSetting(
                f"{type(data).__name__} is a stream, which has no random access: load it without streaming=True"
            )
        return labeled(lambda options: cls(data, options), options)

    @classmethod
    def example(cls, folder: Path, rows: int) -> Source:
        """Make a dataset of vectors with classes."""
        import datasets

        random = np.random.default_rng(0)
        kinds = datasets.Features(
            {"x": datasets.Sequence(datasets.Value("float64"), length=3), "label": datasets.ClassLabel(names=["a", "b"])}
        )
        made = {"x": random.random((rows, 3)).tolist(), "label": [i % 2 for i in range(rows)]}
        return cls.opened(datasets.Dataset.from_dict(made, features=kinds), OpenOptions(mode="RGB"))
