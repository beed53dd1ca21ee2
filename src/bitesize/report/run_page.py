"""The page of one run."""

from __future__ import annotations

import json
from typing import Any

from bitesize.memory.sizes import counted, format_size
from bitesize.report.curves import figure_charts, memory_charts, speed_charts
from bitesize.report.page import moment, number, seconds
from bitesize.report.records import RunRecords
from bitesize.report.results import Results, figures_of, has_other_loss, results_of, trivial_of
from bitesize.storage import paths
from bitesize.text import quoted

# Rows that were skipped in training and are listed.
_MOST_BAD = 20


def page_of_run(records: RunRecords, missing: str) -> dict[str, Any]:
    """Return the variables of the template ``run.html``.

    Parameters
    ----------
    records
        Records of the run.
    missing
        Why there are no results of the validation rows; empty if there are.
    """
    results = results_of(records)
    evaluation = records.evaluation or {}
    examples = [{**each, "path": records.short(each["path"])} for each in evaluation.get("examples", ())]
    return {
        "name": records.name,
        "status": status_of(records),
        "lead": _lead(records),
        "cards": _cards(records, results),
        "charts": figure_charts(records),
        "task": records.task,
        "results": results,
        "missing": missing,
        "other_loss": has_other_loss(records),
        "trivial": trivial_of(records),
        "examples": examples,
        "threshold": evaluation.get("details", {}).get("threshold"),
        "drawn": evaluation.get("pictures", []),
        "unread": evaluation.get("figures", {}).get("bad", []),
        "unread_rows": evaluation.get("figures", {}).get("bad_rows", 0),
        "data": _data(records),
        "bad": records.bad[:_MOST_BAD],
        "bad_rows": len(records.bad),
        "speed": speed_charts(records),
        "memory": memory_charts(records),
        "verdict": next((line["verdict"] for line in reversed(records.log) if line.get("verdict")), ""),
        "repeat": _repeat(records),
    }


def status_of(records: RunRecords) -> str:
    """Return whether the run has finished, and which epoch its model is of."""
    saved = records.saved
    if saved.unfinished is not None:
        return saved.unfinished
    planned = records.summary.get("planned_epochs")
    early = f", stopped early of {planned:,} planned" if isinstance(planned, int) and planned > saved.trained else ""
    of = f"; the saved model is that of epoch {saved.epoch:,}" if saved.epoch else ""
    return f"finished after {counted(saved.trained, 'epoch')}{early}{of}"


def _lead(records: RunRecords) -> str:
    split, settings = records.config.get("split", {}), records.config["settings"]
    rows = f", {counted(split['train'], 'row')} to train on" if "train" in split else ""
    val = f", {split['val']:,} to validate on" if "val" in split else ""
    return f"{settings['model']} on {settings['data']}: {records.task.described}{rows}{val}"


def _cards(records: RunRecords, results: Results | None) -> list[tuple[str, str, str]]:
    """Return the key figures: name, value, and a note."""
    cards: list[tuple[str, str, str]] = []
    if figures := figures_of(records):
        rows = "validation rows" if results is None else counted(results.rows, "validation row")
        cards.append((*figures[0], f"on {rows}"))
    if (trivial := trivial_of(records)) is not None:
        cards.append(("trivial answer", trivial.value, f"{trivial.answer}: {trivial.metric}"))
    if records.rows_per_second is not None:
        cards.append(("speed", f"{records.rows_per_second:,.0f} rows/s", "training, with compiling, without validation"))
    peak, budget = records.summary.get("peak_bytes"), records.summary.get("budget")
    if peak is not None and budget:
        cards.append(("memory of loading", format_size(peak), f"at most, of a budget of {format_size(budget)}"))
    if "seconds" in records.summary:
        cards.append(("time", seconds(records.summary["seconds"]), f"for {counted(records.saved.trained, 'epoch')}"))
    return cards


def _data(records: RunRecords) -> list[tuple[str, str]]:
    """Return what is known about the data."""
    config = records.config
    lines = [tuple(line) for line in config.get("data", ())]
    split = config.get("split", {})
    if split:
        parts = ", ".join(f"{name} {split[name]:,}" for name in ("train", "val") if name in split)
        lines.append(("split", f"{parts} rows, listed in {split['file']}"))
    if config.get("values"):
        lines.append(("values", config["values"].removeprefix("values: ")))
    steps = ", ".join(_shown(step) for step in config.get("train_transforms", ()))
    lines.append(("transforms", steps or "none"))
    if records.evaluation is not None:
        left = records.evaluation["figures"].get("left_out") or {}
        lines += [
            ("left out", f"{count:,} {why}")
            for why, count in left.items()
            if not any(name == "left out" for name, _ in lines)
        ]
    return lines


def _shown(step: dict[str, Any]) -> str:
    settings = ", ".join(f"{name}={_value(value)}" for name, value in step.items() if name != "name")
    return f"{step['name']}({settings})"


def _sessions(config: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the start of a run, and each time that it was resumed."""
    return config.get("sessions") or [{"command": config.get("command", "")}]


def _value(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return f"{value:.4g}" if isinstance(value, float) else repr(value)


def _repeat(records: RunRecords) -> dict[str, Any]:
    """Return what is needed to repeat the run."""
    config = records.config
    machine = config.get("machine", {})
    facts = [
        ("started", moment(config["started"])) if "started" in config else None,
        ("ended", moment(config["ended"])) if "ended" in config else None,
        ("resumed", counted(config["continued"], "time")) if config.get("continued") else None,
        ("folder", config["folder"]) if "folder" in config else None,
        ("system", machine["system"]) if "system" in machine else None,
        ("processor", f"{machine['processor']}, {counted(machine['threads'], 'thread')}")
        if "processor" in machine
        else None,
        ("memory", format_size(machine["memory"])) if "memory" in machine else None,
        ("accelerators", ", ".join(machine["accelerators"]) or "none") if "accelerators" in machine else None,
        ("Keras backend", config["backend"]) if "backend" in config else None,
        ("fingerprints", ", ".join(f"{name} {value}" for name, value in config.get("fingerprints", {}).items())),
    ]
    settings = [(name, value if isinstance(value, str) else json.dumps(value)) for name, value in config["settings"].items()]
    given = config.get("given", {})
    return {
        "commands": list(dict.fromkeys(each["command"] for each in _sessions(config) if each.get("command"))),
        "config": quoted("bitesize", "train", "--config", paths.join(records.shown, "config.json"), "--out", "NEW"),
        "facts": [each for each in facts if each is not None and each[1]],
        "versions": sorted(config.get("versions", {}).items()),
        "settings": [(name, value, "given" if name in given else "") for name, value in settings],
        "learning_rate": number(config["settings"].get("learning_rate"))
        if isinstance(config["settings"].get("learning_rate"), float)
        else "",
    }
