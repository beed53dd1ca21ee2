"""Open a layout, read it back, and decide whether it was read as meant, refused, or misread with or without a word."""

import re
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np

import bitesize as bs
from tests.layouts.catalog.compare import difference
from tests.layouts.catalog.registry import marker

# Names by which a split can be asked for, beside that of its folder or file.
SPLIT_NAMES = {"valid": "val", "Testing": "test", "t10k": "test"}


@dataclass(frozen=True)
class Outcome:
    """What came of opening a layout.

    Parameters
    ----------
    verdict
        ``"RIGHT"``; ``"REFUSED"``, by an error of bitesize; ``"SAID"``, read otherwise, and the source names what is
        concerned; ``"SILENT"``, read otherwise without a word; ``"CRASH"``, any other error.
    detail
        The message, or the first difference and what was said.
    error
        What was raised, or None.
    split
        The split that was opened because an error advised to name one, or None.
    """

    verdict: str
    detail: str = ""
    error: Exception | None = None
    split: str | None = None


def judge(layout, root):
    """Write a layout below a folder, open it, and return what came of it.

    Where an error advises to name a split, "train" is opened, then the other splits.
    """
    given = layout.make(root)
    outcome = attempt(layout, given, layout.labels)
    advised = re.search(r"split=['\"]([^'\"]+)", str(outcome.error))
    if outcome.verdict != "REFUSED" or not advised:
        return outcome
    for split in dict.fromkeys(["train", advised[1]]):
        outcome = attempt(layout, given, layout.labels, split)
        if outcome.verdict != "REFUSED":
            break
    for name, labels in list(layout.splits.items())[1:]:
        if outcome.verdict == "RIGHT":
            outcome = open_split(layout, given, name, labels)
    return outcome


def open_split(layout, given, name, labels):
    """Open a split by its name, without its year, or by a usual one."""
    for split in dict.fromkeys([name, name.rstrip("0123456789_"), SPLIT_NAMES.get(name, name)]):
        outcome = attempt(layout, given, labels, split)
        if outcome.verdict == "RIGHT":
            break
    return outcome


def attempt(layout, given, labels, split=None):
    """Open what is given, whole or one split of it, and compare its rows with labels by marker."""
    options = given.options if split is None else {**given.options, "split": split}
    try:
        with closing(bs.open(given.data, **options)) as source:
            outcome = compare(layout, source, labels, whole=split is None)
    except bs.BitesizeError as error:
        outcome = Outcome("REFUSED", f"{type(error).__name__}: {error}", error)
    except Exception as error:
        outcome = Outcome("CRASH", f"{type(error).__name__}: {error}", error)
    return replace(outcome, split=split)


def compare(layout, source, labels, *, whole):
    """Read a source and return the verdict; `whole` is False where a split of it was asked for."""
    rows = read_resized(source, layout.resize)
    readings = [labels]
    for other in layout.also_right:
        if other == "unlabeled":
            readings.append(dict.fromkeys(labels))
        elif labels.keys() <= other.keys():
            readings.append({each: other[each] for each in labels})
    differences = [difference(layout, source, rows, reading) for reading in readings]
    said = sayings(source)
    if "" not in differences:
        verdict = "SAID" if names_one(said, layout.about) else "SILENT"
        return Outcome(verdict, f"{differences[0]}; said: {said}")
    if layout.say and not names_one(said, layout.say):
        return Outcome("SILENT", f"rows and labels are right, but nothing names one of {layout.say}; said: {said}")
    others = list(layout.splits)[1:]
    if whole and others and not names_one(said, others):
        return Outcome("SILENT", f"one split was read, and nothing names one of {others}; said: {said}")
    return Outcome("RIGHT")


def sayings(source):
    """Return what the source says of itself: what was chosen, left out, and may be meant otherwise."""
    hints = source.explain(measure=False).hints
    return [*map(str, source.choices), *source.left_out, *map(str, hints)]


def names_one(said, words):
    """Return whether one of the words, whole, is in what is said."""
    return any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", line, re.IGNORECASE) for word in words for line in said)


def read_resized(source, resize):
    """Read all rows; resize images where that is asked for, or where reading without it is refused."""
    if resize:
        return read(source, [bs.Resize(8)])
    try:
        return read(source)
    except bs.BitesizeError as error:
        if not re.search(r"resize|size|shape", str(error), re.IGNORECASE):
            raise
        try:
            return read(source, [bs.Resize(8)])
        except bs.BitesizeError:
            raise error from None


def read(source, transforms=()):
    """Return the values of all rows by field."""
    rows = {}
    with bs.Loader(source, batch_size=4, memory="64 MiB", shuffle=False, transforms=list(transforms)) as loader:
        for batch in loader:
            for name in batch:
                values = [np.array(each) if isinstance(each, np.ndarray) else each for each in batch[name]]
                rows.setdefault(name, []).extend(values)
    return rows


def spoiled(layout):
    """Return copies of a layout that expect what is wrong: a label changed, a row added, two labels swapped."""
    labels = layout.labels
    first = next(iter(labels))
    other = next(each for each in labels if labels[each] != labels[first])
    return {
        "a label changed": replace(layout, labels={**labels, first: labels[other]}),
        "a row added": replace(layout, labels={**labels, marker(30): labels[first]}),
        "two labels swapped": replace(layout, labels={**labels, first: labels[other], other: labels[first]}),
    }
