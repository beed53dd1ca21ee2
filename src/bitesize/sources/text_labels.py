"""Labels from a column of text: classes, numbers, or several tags in one cell."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.decode.header import SUFFIXES
from bitesize.errors import BadFile, BadSetting, DoesNotFit
from bitesize.files.scan import class_key
from bitesize.memory.limits import available
from bitesize.memory.sizes import counted, format_size
from bitesize.sources.choices import Choice

# The setting by which numbers are classes.
AS_TEXT = "labels=[one text per row]"
# Maximum number of different whole numbers used as classes, or their maximum fraction of the rows.
_FEW, _SHARE = 20, 0.1
# More different texts than this are not used as classes by default.
_MOST_GUESSED = 10_000
_NAMED = 10
_WHOLE = re.compile(r"[+-]?\d+")
# Text of more digits is not a number that somebody means.
_LONGEST = 20
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_WRITTEN_LIST = re.compile(r"\[.*\]|\{.*\}|\(.*,.*\)", re.DOTALL)
# Amounts with a sign of currency, such as "$1,234.50".
_AMOUNT = re.compile(r"[-+]?[$€£¥]\s?[-+]?\d[\d.,]*|[-+]?\d[\d.,]*\s?[$€£¥]")
_MISSING = frozenset(("", "nan", "na", "n/a", "null", "none"))
_DELIMITERS = ("|", ";", ",", "/", "+", "&", " ", "_", "-")
# Separators that also occur in names of single classes.
_IN_NAMES = (" ", "/", "+", "&", "_", "-")


class Texts(NamedTuple):
    """A column of text.

    Attributes
    ----------
    values : list of str
        The different texts, in the order in which they first occur.
    numbers : ndarray of int64, shape (n,)
        The text of each row, by its index in ``values``.
    """

    values: list[str]
    numbers: NDArray[np.int64]

    @classmethod
    def of(cls, cells: Iterable[str]) -> Texts:
        """Return the column of these cells."""
        number_of: dict[str, int] = {}
        numbers = np.array([number_of.setdefault(cell, len(number_of)) for cell in cells], np.int64)
        return cls(list(number_of), numbers)

    def rows_of(self, values: Sequence[str]) -> list[int]:
        """Return the numbers of the rows that have one of these texts."""
        wanted = [self.values.index(value) for value in values]
        return np.flatnonzero(np.isin(self.numbers, wanted)).tolist()


class Labels(NamedTuple):
    """The labels in a column of text.

    Attributes
    ----------
    values : ndarray
        Class numbers (int64, shape (n,)), targets (float64, shape (n,)) or tags (float32, shape (n, tags), 1 where a row has it).
    classes : tuple of str or None
        Names of classes or tags; None for targets.
    choices : tuple of Choice
        Decisions made for ambiguous text.
    """

    values: NDArray[Any]
    classes: tuple[str, ...] | None
    choices: tuple[Choice, ...]


def text_labels(
    texts: Texts, name: str, where: str, tag_delimiter: str | None = None, *, may_be_numbers: bool = False
) -> Labels:
    """Return the labels in a column of text.

    Parameters
    ----------
    texts
        Its cells.
    name, where
        Names of the column and of the data, for messages.
    tag_delimiter
        Separator of tags in a cell; empty if cells are whole; None to refuse cells that look like several tags.
    may_be_numbers
        Whether all values are text in this kind of data, so that ``"3"`` may be a number.

    Raises
    ------
    BadFile
        If cells are empty.
    BadSetting
        If cells are paths of images, or look like several tags each.
    """
    if tag_delimiter:
        refuse_written_lists(texts.values, f"{name!r} of {where}")
        return tags([split_tags(value, tag_delimiter) for value in texts.values], texts.numbers, f"{name!r} of {where}")
    numbers = _numbers(texts, name, where) if may_be_numbers else None
    _refuse_empty(texts, name, where)
    if numbers is not None:
        return numbers
    choices = [] if tag_delimiter == "" else check_text(texts.values, f"{name!r} of {where}")
    count, rows = len(texts.values), len(texts.numbers)
    if count > max(2, rows / 2):
        choices.append(Choice(f"{name}: {count:,} classes in {rows:,} rows, nearly all different", "labels="))
    return _classes(texts, texts.values, tuple(choices))


def repeats(values: int, rows: int) -> bool:
    """Return whether a column with ``values`` different texts may be classes, regardless of its name."""
    return values < rows and values <= min(max(2, rows / 2), _MOST_GUESSED)


def most_guessed(rows: int) -> int:
    """Return the maximum number of different texts of a column of classes."""
    return int(min(max(2, rows / 2), _MOST_GUESSED))


def tags(cells: Sequence[Sequence[str]], numbers: NDArray[np.int64], where: str) -> Labels:
    """Return a 1 for each tag that a row has, shape (n, tags), float32.

    Parameters
    ----------
    cells
        The tags of each different cell.
    numbers
        The cell of each row.
    where
        Name of the column, for messages.

    Raises
    ------
    BadFile
        If there is no tag.
    DoesNotFit
        If the result takes more than a quarter of the memory that is available.
    """
    names = in_order({tag for cell in cells for tag in cell})
    if not names:
        raise BadFile(f"{where} has no tags: all cells are empty")
    check_room(4 * len(names) * (len(numbers) + len(cells)), f"{len(names):,} tags of {len(numbers):,} rows ({where})")
    index = {name: i for i, name in enumerate(names)}
    has = np.zeros((len(cells), len(names)), np.float32)
    for i, cell in enumerate(cells):
        has[i, [index[tag] for tag in cell]] = 1
    return Labels(has[numbers], tuple(names), ())


def number_texts(texts: Texts) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return the class of each row by number, and the names of the classes."""
    found = _classes(texts, texts.values, ())
    return found.values, found.classes or ()


def check_room(need: int, purpose: str) -> None:
    """Raise `DoesNotFit` if something needs more than a quarter of the available memory."""
    room = available().room
    if need > room // 4:
        raise DoesNotFit(
            f"{purpose} needs {format_size(need)}, but a quarter of the available memory is {format_size(room // 4)}"
        )


def check_text(cells: Sequence[str], where: str) -> list[Choice]:
    """Return a choice if labels of several words may be tags.

    Raises
    ------
    BadSetting
        If labels are paths of images, or clearly look like several tags each, and are not used whole unless
        ``tag_delimiter=""`` says so.
    """
    if all(cell.lower().endswith((*SUFFIXES, ".npy")) for cell in cells):
        raise BadSetting(
            f"{where} are paths, such as {cells[0]!r}: masks are opened as a folder of files with the same names, "
            "bs.open(images, labels=FOLDER)"
        )
    refuse_written_lists(cells, where)
    if all(_AMOUNT.fullmatch(cell.strip()) for cell in cells):
        raise BadSetting(
            f"{where} are amounts with a currency sign, such as {cells[0]!r}: write plain numbers, such as 1234.5"
        )
    known = frozenset(cells)
    for delimiter in _DELIMITERS:
        parts = {cell: split_tags(cell, delimiter) for cell in cells if delimiter in cell.strip()}
        several = {cell: own for cell, own in parts.items() if len(own) > 1}
        if not several or any(len(set(own)) < len(own) for own in several.values()):
            continue
        example = next(iter(several))
        words = {part for cell in cells for part in split_tags(cell, delimiter)}
        parts_alone = [part in known for own in several.values() for part in own]
        all_alone, some_alone = all(parts_alone), any(parts_alone)
        numeric = all(word.isdigit() for word in words)
        few = len(words) <= len(cells) / 2
        named = re.search(r"\b(?:tags?|keywords?)\b", where, re.IGNORECASE) is not None
        if delimiter in ("_", "-") and not (all_alone or named):
            continue
        if all_alone or few or (some_alone and delimiter != " ") or _shared(several.values()):
            if delimiter in _IN_NAMES and not named and (delimiter in ("_", "-") or not all_alone):
                said = f"{example!r} is one class, though it looks like several tags"
                return [Choice(said, f"tag_delimiter={json.dumps(delimiter)}")]
            raise BadSetting(
                f"{where} looks like several tags per row, such as {example!r}: pass tag_delimiter={delimiter!r} for 0 or 1 for each "
                'tag, or tag_delimiter="" if each text is one class'
                + (
                    ", or write numbers with a decimal point if this is a decimal comma"
                    if delimiter == "," and numeric
                    else ""
                )
            )
    return []


def refuse_written_lists(cells: Sequence[str], where: str) -> None:
    """Raise `BadSetting` for lists of Python or JSON that are written as text, ``"['sun', 'beach']"``."""
    given = [cell.strip() for cell in cells if cell.strip()]
    if given and all(_WRITTEN_LIST.fullmatch(cell) for cell in given):
        example = max(given, key=len)
        raise BadSetting(
            f"{where} are lists written as text, such as {example[:80]!r}: pass labels=[ast.literal_eval(text) for text in column], "
            'which yields 0 or 1 for each tag; or write the tags with one separator, sun|beach, and pass tag_delimiter="|"; '
            'tag_delimiter="" uses each text as one class'
        )


def _shared(cells: Iterable[Sequence[str]]) -> bool:
    """Return whether a part occurs in two cells."""
    seen: set[str] = set()
    for cell in cells:
        if seen & set(cell):
            return True
        seen |= set(cell)
    return False


def split_tags(cell: str, delimiter: str) -> list[str]:
    """Return the tags in a cell."""
    return [part for each in cell.split(delimiter) if (part := each.strip())]


def unlabeled(count: int, where: str, name: str, first: Sequence[str]) -> BadFile:
    """Return the error for rows without a label, with the names of the first."""
    have = "has" if count == 1 else "have"
    more = ", ..." if count > len(first) else ""
    return BadFile(
        f"{counted(count, 'row')} of {where} {have} no {name!r}: {', '.join(first)}{more}. Fill in the label, or drop the "
        f"{'row' if count == 1 else 'rows'} from the data"
    )


def _refuse_empty(texts: Texts, name: str, where: str) -> None:
    """Raise `BadFile` for rows without a label: they would become a separate class."""
    empty = [value for value in texts.values if not value.strip()]
    if empty:
        rows = texts.rows_of(empty)
        raise unlabeled(len(rows), where, name, [f"row {row}" for row in rows[:_NAMED]])


def _numbers(texts: Texts, name: str, where: str) -> Labels | None:
    """Return numbers, or classes named by whole numbers; None if there is other text."""
    values = [value.strip() for value in texts.values]
    missing = [value for value in texts.values if value.strip().casefold() in _MISSING]
    filled = [value for value in values if value.casefold() not in _MISSING]
    if not filled or not all(_NUMBER.fullmatch(value) for value in filled):
        return None
    if missing:
        without = texts.rows_of(missing)
        raise unlabeled(len(without), where, name, [f"row {row}" for row in without[:_NAMED]])
    rows, count = len(texts.numbers), len(set(filled))
    numbers = np.array(filled, np.float64)
    if not all(_WHOLE.fullmatch(value) for value in filled):
        whole = all(number.is_integer() for number in numbers.tolist())
        kind = (
            f"{len(set(numbers.tolist())):,} different whole numbers written with decimals"
            if whole
            else "numbers with decimals"
        )
        chosen = Choice(f"{name}: {kind}, used as targets", AS_TEXT)
        return Labels(numbers[texts.numbers], None, (chosen,))
    twice = next((value for value in filled if value.startswith("+") and value[1:] in filled), None)
    if twice is not None:
        raise BadSetting(f"{name!r} of {where} has {twice} and {twice[1:]}, one number in two forms: use one form")
    if count <= max(_FEW, _SHARE * rows):
        chosen = Choice(f"{name}: {count:,} different whole numbers, used as classes", "labels=[one float per row]")
        return _classes(texts, values, (chosen,))
    if any(int(value) != int(number) for value, number in zip(filled, numbers.tolist(), strict=True)):
        raise BadSetting(
            f"{name!r} of {where} has {count:,} different whole numbers in {rows:,} rows, such as {filled[0]}, too large for targets: "
            "are they identifiers? Choose another column with labels="
        )
    chosen = Choice(f"{name}: {count:,} different whole numbers in {rows:,} rows, used as numbers", AS_TEXT)
    return Labels(numbers[texts.numbers], None, (chosen,))


def in_order(names: Iterable[str]) -> list[str]:
    """Return names of classes in order: whole numbers by their value, other names in natural order."""
    names = list(names)
    if all(len(name) < _LONGEST and _WHOLE.fullmatch(name) for name in names):
        return sorted(names, key=lambda name: (int(name), class_key(name)))
    return sorted(names, key=class_key)


def _classes(texts: Texts, names: Sequence[str], choices: tuple[Choice, ...]) -> Labels:
    """Number the texts in sorted order; what is not valid Unicode is escaped, so that it can be printed and saved."""
    shown = [name.encode("utf-8", "backslashreplace").decode() for name in names]
    classes = in_order(set(shown))
    index = {name: i for i, name in enumerate(classes)}
    numbers = np.array([index[name] for name in shown], np.int64)
    return Labels(numbers[texts.numbers], tuple(classes), choices)
