"""`bitesize demo`: train on generated data, next to naive loading under the same memory limit."""

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
from typing import Annotated, Any

import typer

from bitesize.cli.console import command, console, plain, quoted
from bitesize.cli.report import say_report


@dataclass(frozen=True)
class Scene:
    """Data and limits of one demo.

    Parameters
    ----------
    folder, count, shape
        Folder of the data, number of files, and shape of one.
    limit
        Memory limit of each child process, in bytes.
    disk
        Size of the data on disk, in bytes.
    arguments
        Arguments of ``bitesize train``.
    """

    folder: str
    count: int
    shape: tuple[int, int, int]
    limit: int
    disk: int
    arguments: tuple[str, ...]

    @property
    def naive(self) -> int:
        """Size of all pictures as float64, in bytes."""
        height, width, channels = self.shape
        return self.count * height * width * channels * 8


# 1.5 GiB: twice the memory of Keras with a backend (about 0.7 GiB); the pictures as float64 take 5.1 GiB.
PHOTOS = Scene(
    "photos", 3000, (240, 320, 3), 1536 << 20, 100 << 20, ("--image-size", "64", "--epochs", "5", "--memory", "64MiB")
)
# The case of the tutorials: 9,000 x 224 x 224 x 3 x 8 bytes are 10.1 GiB.
FULL = Scene(
    "arrays", 9000, (224, 224, 3), 4 << 30, 10_840_000_000, ("--image-size", "64", "--epochs", "2", "--memory", "256MiB")
)


def demo(
    full: Annotated[
        bool, typer.Option("--full", help="The case of the tutorials: 9,000 .npy files, 10.1 GiB on disk.")
    ] = False,
    folder: Annotated[
        str, typer.Option(metavar="DIR", help="Folder for the data and the run. A second demo reuses the data.")
    ] = "bitesize-demo",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before writing large files.")] = False,
    task: Annotated[
        str | None,
        typer.Option(
            metavar="tabular|multilabel|regress|segment|volumes",
            help="Instead, train on small data of one task, and compare the model with a trivial answer.",
        ),
    ] = None,
) -> None:
    """Generate data, show that naive loading fails under a memory limit, and train within the same limit."""
    from bitesize.cli.memory_limit import ENFORCED
    from bitesize.memory.sizes import format_size
    from bitesize.training.backend import choose_backend

    choose_backend()  # report missing packages before data is generated
    if task is not None:
        from bitesize.cli.demo_tasks import demo_task

        demo_task(task, Path(folder))
        return
    scene = FULL if full else PHOTOS
    data, run = Path(folder) / scene.folder, Path(folder) / f"run-{scene.folder}"
    _make(scene, data, yes)
    console.rule(f"the naive way, in {format_size(scene.limit)}")
    if ENFORCED:
        console.print(
            "[dim]images = \\[load(name) for name in names]; x = np.array(images, dtype=np.float64)[/]", highlight=False
        )
        naive = subprocess.run(
            _child(scene, "naive", str(data)), capture_output=True, text=True, errors="backslashreplace", check=False
        )
        console.print((naive.stderr or naive.stdout).strip(), style="red" if naive.returncode else "", highlight=False)
        failed = naive.returncode != 0
    else:
        need = f"{scene.naive / 2**30:.3g} GiB for an array with shape {(scene.count, *scene.shape)} and data type float64"
        console.print(f"computed, not run, because this system does not enforce a memory limit: it would need {need}")
        failed = scene.naive > scene.limit
    console.rule(f"bitesize, in {format_size(scene.limit)}")
    again = ["--overwrite"] if run.exists() else []  # the run of an earlier demo
    arguments = ["train", str(data), *scene.arguments, "--out", str(run), *again]
    console.print(f"[dim]$ {plain(quoted('bitesize', *arguments))}[/]", highlight=False, soft_wrap=True)
    began = time.perf_counter()
    code = subprocess.run(_child(scene, "bitesize", *arguments), check=False).returncode
    if code:
        raise typer.Exit(code)
    _summary(scene, run, time.perf_counter() - began, failed, Path(folder))


def _child(scene: Scene, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "bitesize.cli.limited", str(scene.limit), *arguments]


def _make(scene: Scene, data: Path, yes: bool) -> None:
    """Generate the data, unless an earlier demo did."""
    from bitesize.cli.bar import counting
    from bitesize.cli.demo_data import write_arrays, write_photos
    from bitesize.errors import BadSetting, DoesNotFit
    from bitesize.memory.sizes import format_size

    made = data.parent / f"{data.name}.json"
    facts = {"count": scene.count, "shape": list(scene.shape), "version": 1}
    if made.is_file() and json.loads(made.read_text(encoding="utf-8")) == facts:
        console.print(
            f"using the {scene.count:,} files in [bold]{plain(data)}[/] that an earlier demo made", highlight=False
        )
        return
    if data.exists() and not made.is_file():
        raise BadSetting(f"{data} exists, and was not made by a demo: choose another --folder")
    data.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(data.parent).free
    if free < scene.disk * 1.05:
        raise DoesNotFit(
            f"the demo's data needs {format_size(scene.disk)} on the disk of {data}, but {format_size(free)} are free"
        )
    if scene is FULL and not yes:
        console.print(
            f"This writes {format_size(scene.disk)} to {plain(data)} ({format_size(free)} are free).", highlight=False
        )
        typer.confirm("Continue?", abort=True)
    made.write_text("{}", encoding="utf-8")  # so that a demo that is interrupted can be repeated
    shutil.rmtree(data, ignore_errors=True)
    write: Callable[..., Any] = write_arrays if scene is FULL else write_photos
    with counting("making pictures", scene.count, unit="pictures") as progress:
        write(data, scene.count, progress)
    made.write_text(json.dumps(facts), encoding="utf-8")
    size = sum(file.stat().st_size for file in data.rglob("*") if file.is_file())
    console.print(f"made {scene.count:,} files, {format_size(size)}, in [bold]{plain(data)}[/]", highlight=False)


def _summary(scene: Scene, run: Path, seconds: float, failed: bool, folder: Path) -> None:
    from rich.table import Table

    from bitesize.memory.sizes import format_size

    with (run / "history.csv").open(encoding="utf-8") as file:
        history = list(csv.DictReader(file))
    summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    saved = history[(summary["best_epoch"] or len(history)) - 1]
    console.rule("side by side")
    table = Table(box=None, padding=(0, 2), show_header=True)
    for title in ("", "the naive way", "bitesize"):
        table.add_column(title)
    peak = f"{format_size(summary['peak_bytes'])} of a budget of {format_size(summary['budget'])}"
    table.add_row("memory for the data", format_size(scene.naive), peak)
    table.add_row(
        f"under {format_size(scene.limit)}", "[red]ArrayMemoryError[/]" if failed else "passed", "[green]trained[/]"
    )
    table.add_row("validation accuracy", "-", f"[bold]{float(saved['val_accuracy']):.3f}[/]")
    table.add_row("trained", "-", f"{summary['rows_per_second']:,.0f} images/s, {seconds:.0f} s")
    console.print(table, highlight=False)
    console.print(f"\nEverything is in [bold]{plain(folder)}[/]; a second demo reuses the data. Next:", highlight=False)
    console.print(
        f"  {plain(command('evaluate', run, folder / scene.folder, '--part', 'val'))}", highlight=False, soft_wrap=True
    )
    say_report(run)
