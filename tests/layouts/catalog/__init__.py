"""A catalog of layouts as people have them, what each means, and a check of what is made of it."""

from tests.layouts.catalog import (
    annotated,
    archives,
    arrays,
    class_folders,
    kaggle,
    lists,
    masks,
    photographs,
    scientific,
    splits,
    tables,
)
from tests.layouts.catalog.registry import LAYOUTS

__all__ = [
    "LAYOUTS",
    "annotated",
    "archives",
    "arrays",
    "class_folders",
    "kaggle",
    "lists",
    "masks",
    "photographs",
    "scientific",
    "splits",
    "tables",
]
