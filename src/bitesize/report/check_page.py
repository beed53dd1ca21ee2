"""The page of a check of data."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from bitesize.pictures.picture import axes_of_pictures, said_of_pictures
from bitesize.report.drawing import data_uri, draw_stored
from bitesize.scan.findings import Findings, ReportedRow
from bitesize.sources.base import Source

# Lines of a section, and pictures in it: a page of more is slow to open.
_MOST_LINES, _MOST_PICTURES, _SIDE = 2_000, 24, 200


def page_of_check(
    name: str,
    found: Findings,
    parts: Mapping[str, Source],
    data: Mapping[str, Sequence[Sequence[str]]],
    *,
    unopened: Mapping[str, str],
    moved: Sequence[str],
    memory: Any = "auto",
) -> dict[str, Any]:
    """Return the variables of the template ``check.html``.

    Parameters
    ----------
    name
        Name of the data.
    found
        Result of `check`.
    parts
        Sources by the name of the part.
    data
        Pairs of a heading and a text about each part.
    unopened
        Errors of parts that cannot be opened.
    moved
        Files that were moved away.
    memory
        Memory budget of reading rows for pictures.
    """
    kinds = (
        ("Bad", "Rows that cannot be read.", [[place] for place in found.bad]),
        (
            "Shared by splits",
            "Rows with equal contents in several splits: a model is measured on rows that it was trained on.",
            found.leaks,
        ),
        ("Duplicates", "Rows with equal contents, one group in each line.", found.duplicates),
        ("Suspicious", "Rows that can be read, but may be unintended.", [[place] for place in found.suspicious]),
    )
    return {
        "name": name,
        "rows": found.rows,
        "well": found.well and not unopened,
        "unopened": unopened,
        "unbalanced": found.unbalanced,
        "moved": moved,
        "data": data,
        "cards": [(title.lower(), len(groups)) for title, _, groups in kinds],
        "sections": [_section(name, title, about, groups, parts, memory) for title, about, groups in kinds if groups],
        "classes": {part: _classes(counts) for part, counts in found.classes.items() if counts},
    }


def _section(
    name: str, title: str, about: str, groups: Sequence[Sequence[ReportedRow]], parts: Mapping[str, Source], memory: Any
) -> dict[str, Any]:
    several, top = len(parts) > 1, os.path.realpath(name) + os.sep
    single = all(len(group) == 1 for group in groups)

    def named(place: ReportedRow) -> str:
        path = place.path.removeprefix(top)
        return f"{place.part}: {path}" if several else path

    if single:
        header = ["row", "path", "reason"]
        shown = chain(*groups[:_MOST_LINES])
        lines = [[f"{place.row:,}", named(place), place.reason.removeprefix(f"{place.path}: ")] for place in shown]
    else:
        header = ["rows", "paths", "note"]
        lines = [
            [
                f"{len(group):,}",
                " = ".join(named(each) for each in group[:20]) + (" ..." if len(group) > 20 else ""),
                _note(group),
            ]
            for group in groups[:_MOST_LINES]
        ]
    first = [place for group in groups[:_MOST_PICTURES] for place in group[:2]][:_MOST_PICTURES]
    pictures = [] if title == "Bad" else _pictures(first, parts, named, memory)
    more = max(0, len(groups) - _MOST_LINES)
    return {
        "title": title,
        "about": about,
        "header": header,
        "lines": lines,
        "more": more,
        "pictures": pictures,
        "drawn": list(dict.fromkeys(line for part in parts.values() for line in _said(part))) if pictures else [],
        "sort": True,
    }


def _note(group: Sequence[ReportedRow]) -> str:
    return "with other labels" if group[0].reason else ""


def _said(source: Source) -> list[str]:
    """Return lines on what pictures leave out of rows; empty for rows that are not shown."""
    field = source.spec["x"]
    return said_of_pictures(field) if axes_of_pictures(field) else []


def _pictures(places: Sequence[ReportedRow], parts: Mapping[str, Source], named: Any, memory: Any) -> list[tuple[str, str]]:
    """Return pictures of rows that are images and can be read, with their names."""
    found: dict[int, tuple[str, str]] = {}
    for part, source in parts.items():
        there = [i for i, place in enumerate(places) if place.part == part]
        if not there or not axes_of_pictures(source.spec["x"]):
            continue
        rows = np.array([places[i].row for i in there], np.int64)
        pictures, problems = draw_stored(source.subset(rows), _SIDE, memory=memory, masks=False)
        for number, (i, picture) in enumerate(zip(there, pictures, strict=True)):
            place = places[i]
            if number not in problems:
                text = f"{named(place)}{': ' if place.reason else ''}{place.reason}"
                found[i] = data_uri(picture, _SIDE), text
    return [found[i] for i in sorted(found)]


def _classes(counts: Mapping[str, int]) -> list[dict[str, Any]]:
    most = max(counts.values(), default=1)
    return [
        {"name": name, "value": f"{count:,}", "part": round(count / max(most, 1), 4), "kind": "", "detail": ""}
        for name, count in counts.items()
    ]
