"""`bitesize demo --task`: small data of each task, a training of less than a minute, and the figures against a trivial answer."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import typer
from numpy.typing import NDArray

from bitesize.cli.console import command, console, plain, quoted
from bitesize.cli.demo_masks import write_masks, write_volumes
from bitesize.cli.report import say_report
from bitesize.memory.sizes import rounded

# Each shape has a color of its own, about which it varies.
_SHAPES = {"circle": (225, 70, 60), "cross": (240, 205, 70), "square": (70, 110, 225)}
_SIDE = 48


class Compared(NamedTuple):
    """A figure of a model, beside that of a trivial answer."""

    metric: str
    value: float
    trivial: float
    answer: str
    higher_is_better: bool = True

    @property
    def better(self) -> bool:
        """True if the model is better than the trivial answer."""
        return self.value > self.trivial if self.higher_is_better else self.value < self.trivial


@dataclass(frozen=True)
class TaskDemo:
    """Data and command of the demo of one task.

    Parameters
    ----------
    about
        What the data is, and what is learned.
    make
        Function that writes the data into a folder.
    data
        Path of the data in that folder.
    arguments
        Arguments of ``bitesize train``; ``{folder}`` is replaced.
    compare
        Function that takes the figures of ``bitesize evaluate --json``.
    """

    about: str
    make: Callable[[Path], None]
    data: str
    arguments: tuple[str, ...]
    compare: Callable[[dict[str, Any]], Compared]


def write_flowers(folder: Path, count: int = 900) -> None:
    """Write a CSV of four measurements and a species, whose classes no single measurement separates."""
    random = np.random.default_rng(0)
    centers = np.array([[5.0, 3.4, 1.5, 0.3], [5.9, 2.8, 4.3, 1.3], [6.4, 3.0, 5.2, 1.9]])
    kinds = random.integers(0, 3, count)
    values = np.maximum(centers[kinds] + random.normal(0, 0.35, (count, 4)), 0.1)  # lengths are above 0
    names = ("round", "sharp", "tall")
    lines = [[*(f"{value:.2f}" for value in row), names[kind]] for row, kind in zip(values, kinds, strict=True)]
    _write_csv(folder / "flowers.csv", ["sepal_length", "sepal_width", "petal_length", "petal_width", "species"], lines)


def write_houses(folder: Path, count: int = 1500) -> None:
    """Write a CSV of houses, with a price and a yearly use of energy that are not linear in the other columns."""
    random = np.random.default_rng(0)
    area, age, distance = random.uniform(40, 240, count), random.uniform(0, 80, count), random.uniform(0.5, 30, count)
    floors = random.integers(1, 4, count)
    price = 2500 * area / (1 + distance / 10) * (1 - 0.004 * age) + random.normal(0, 8000, count)
    energy = 45 * area * (0.6 + 0.008 * age) / np.sqrt(floors) + random.normal(0, 300, count)
    columns = (area.round(1), age.round(1), distance.round(2), floors, price.round(0), energy.round(0))
    _write_csv(
        folder / "houses.csv", ["area", "age", "distance", "floors", "price", "energy"], np.stack(columns, axis=1).tolist()
    )


def write_shapes(folder: Path, count: int = 1200) -> None:
    """Write pictures of none to three shapes, and a CSV of their tags."""
    from PIL import Image

    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    lines = []
    for index in range(count):
        random = np.random.default_rng((1, index))
        there = random.random(len(_SHAPES)) < (0.6, 0.35, 0.45)
        Image.fromarray(_shapes(random, there)).save(folder / "pictures" / f"{index:04}.png")
        lines.append(
            [f"pictures/{index:04}.png", "|".join(name for name, shown in zip(_SHAPES, there, strict=True) if shown)]
        )
    _write_csv(folder / "tags.csv", ["path", "label"], lines)


def _shapes(random: np.random.Generator, there: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return a picture of shapes on noise, uint8 of shape (48, 48, 3)."""
    image = random.normal(60, 12, (_SIDE, _SIDE, 3))
    y, x = np.mgrid[:_SIDE, :_SIDE]
    for (name, color), shown in zip(_SHAPES.items(), there, strict=True):
        if not shown:
            continue
        size = random.uniform(6, 9)
        down, right = np.abs(y - random.uniform(10, 38)), np.abs(x - random.uniform(10, 38))
        inside = {
            "circle": np.hypot(down, right) < size,
            "cross": (np.minimum(down, right) < 2) & (np.maximum(down, right) < size),
            "square": np.maximum(down, right) < 0.85 * size,
        }[name]
        image[inside] = color + random.uniform(-40, 40, 3)
    return np.clip(image, 0, 255).astype(np.uint8)


def _write_csv(path: Path, header: list[str], lines: list[list[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(lines)


def _of_classes(result: dict[str, Any]) -> Compared:
    largest = max(result["per_class"], key=lambda line: line["rows"])
    return Compared("accuracy", result["accuracy"], largest["rows"] / result["rows"], f"always answering {largest['class']}")


def _of_tags(result: dict[str, Any]) -> Compared:
    baseline = result["baseline"]
    answer = f"always answering {', '.join(baseline['tags'])}"
    return Compared("F1 of all tags", result["f1_micro"], baseline["f1_micro"], answer)


def _of_masks(result: dict[str, Any]) -> Compared:
    baseline = result["baseline"]
    answer = f"predicting the class {baseline['class']} everywhere"
    return Compared("mean IoU", result["mean_iou"], baseline["mean_iou"], answer)


def _of_numbers(result: dict[str, Any]) -> Compared:
    """Compare the error of the first target."""
    first = result["per_target"][0]
    answer = "predicting the mean of the training rows"
    return Compared(f"MAE of {first['target']}", first["mae"], first["baseline_mae"], answer, higher_is_better=False)


DEMOS = {
    "tabular": TaskDemo(
        "a table of 900 flowers: the species, from four measurements",
        write_flowers,
        "flowers.csv",
        ("--labels", "species", "--epochs", "15"),
        _of_classes,
    ),
    "regress": TaskDemo(
        "a table of 1,500 houses: the price and the use of energy, from four columns",
        write_houses,
        "houses.csv",
        ("--labels", "price,energy", "--epochs", "12"),
        _of_numbers,
    ),
    "multilabel": TaskDemo(
        "1,200 pictures of none to three shapes: which of them are there, as a table of tags says",
        write_shapes,
        "pictures",
        (
            "--labels", "{folder}/tags.csv", "--tag-delimiter", "|", "--model", "mlp", "--image-size", "16", "--no-augment",
            "--learning-rate", "0.002", "--epochs", "6",
        ),
        _of_tags,
    ),
    "segment": TaskDemo(
        "pictures of shapes, and masks: the shape of each pixel",
        write_masks,
        "",
        ("--image-size", "32", "--batch-size", "8", "--epochs", "6", "--val-split", "0.2", "--no-augment"),
        _of_masks,
    ),
    "volumes": TaskDemo(
        "volumes of voxels in a folder per class: the class",
        write_volumes,
        "",
        ("--axes", "DHW", "--batch-size", "16", "--epochs", "8", "--val-split", "0.2"),
        _of_classes,
    ),
}  # fmt: skip


def demo_task(task: str, folder: Path) -> Compared:
    """Make the data of a task, train on it, and print the figures beside those of a trivial answer.

    Raises
    ------
    BadSetting
        If there is no such demo.
    """
    from bitesize.errors import BadSetting

    if task not in DEMOS:
        raise BadSetting(f"--task must be {', '.join(DEMOS)}, not {task!r}")
    demo, place, run = DEMOS[task], folder / task, folder / f"run-{task}"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    demo.make(place)
    data = place / demo.data
    console.print(f"made {demo.about}", highlight=False, soft_wrap=True)
    again = ["--overwrite"] if run.exists() else []
    options = [word.replace("{folder}", str(place)) for word in demo.arguments]
    arguments = ["train", str(data), *options, "--out", str(run), *again]
    console.print(f"[dim]$ {plain(quoted('bitesize', *arguments))}[/]", highlight=False, soft_wrap=True)
    began = time.perf_counter()
    code = subprocess.run([sys.executable, "-m", "bitesize", *arguments], check=False).returncode
    if code:
        raise typer.Exit(code)
    seconds = time.perf_counter() - began
    words = ["evaluate", str(run), "--part", "val", "--json"]
    done = subprocess.run([sys.executable, "-m", "bitesize", *words], check=False, capture_output=True, text=True)
    if done.returncode:
        console.print(done.stderr, highlight=False)
        raise typer.Exit(done.returncode)
    found = demo.compare(json.loads(done.stdout))
    console.rule(f"{found.metric} on the {task} demo's validation rows, after {seconds:.0f} s")
    console.print(f"the model     [bold]{rounded(found.value)}[/]", highlight=False)
    console.print(f"trivial       {rounded(found.trivial)}, {plain(found.answer)}", highlight=False)
    console.print(f"\nEverything is in [bold]{plain(folder)}[/]. Next:", highlight=False)
    console.print(f"  {plain(command('predict', run, data))}", highlight=False, soft_wrap=True)
    say_report(run)
    return found
