"""The page of a memory plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bitesize.memory.plan import Plan
from bitesize.memory.sizes import format_size


def page_of_plan(
    name: str,
    plan: Plan,
    data: Sequence[Sequence[str]],
    *,
    lines: Sequence[str] = (),
    hints: Sequence[str] = (),
    warnings: Sequence[str] = (),
    model: Mapping[str, Any] | None = None,
    measured: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the variables of the template ``plan.html``.

    Parameters
    ----------
    name
        Name of the data.
    plan
        The plan.
    data
        Pairs of a heading and a text about the data.
    lines, hints, warnings
        Sentences about training, about ways to save memory, and about the data.
    model
        Memory to train a model, as of ``bitesize plan --json``.
    measured
        Speed of loading.
    """
    return {
        "name": name,
        "plan": plan,
        "data": data,
        "lines": lines,
        "hints": hints,
        "warnings": warnings,
        "model": model or {},
        "model_parts": [] if model is None else _of_model(model),
        "measured": measured or {},
        "compared": _compared(plan),
        "parts": _parts(plan),
    }


def bar(name: str, nbytes: int, most: int, kind: str = "", detail: str = "") -> dict[str, Any]:
    """Return a line of a table with bars; ``most`` is the size of the longest bar."""
    return {
        "name": name,
        "value": format_size(nbytes),
        "part": round(min(1.0, nbytes / max(most, 1)), 4),
        "kind": kind,
        "detail": detail,
    }


def _compared(plan: Plan) -> list[dict[str, Any]]:
    limit, room = plan.limit
    sizes = [
        ("all rows as stored, float64", plan.stored_float64, "every row as large as the first"),
        ("all rows, float64", plan.naive_float64, "one array; making it from a list takes twice as much"),
        ("all rows, float32", plan.naive_float32, "the same, cast"),
    ]
    if plan.stored_shape == plan.naive_shape:
        del sizes[0]
    most = max(room, plan.total, *(nbytes for _, nbytes, _ in sizes))
    lines = [bar(name, nbytes, most, "over" if nbytes > room else "", detail) for name, nbytes, detail in sizes]
    lines.append(bar("room here", room, most, "rest", limit))
    lines.append(bar("bitesize", plan.total, most, "sum", "all that loading takes"))
    return lines


def _parts(plan: Plan) -> list[dict[str, Any]]:
    most = max(plan.budget, plan.total) if plan.total * 5 > plan.budget else plan.total
    lines = [bar(part.name, part.nbytes, most, "", part.detail) for part in plan.parts]
    return [*lines, bar("total", plan.total, most, "sum", f"of {format_size(plan.budget)}")]


def _of_model(model: Mapping[str, Any]) -> list[dict[str, Any]]:
    most = max(model["room"], model["total"]) if model["total"] * 5 > model["room"] else model["total"]
    details = {"optimizer": "two states per parameter, as in Adam", "batch": "activations of a batch, forward and backward"}
    lines = [
        bar(key, model[key], most, "", details.get(key, "")) for key in ("parameters", "gradients", "optimizer", "batch")
    ]
    return [
        *lines,
        bar("total", model["total"], most, "sum" if model["fits"] else "over", f"of {format_size(model['room'])}"),
    ]
