"""`bitesize concat`: many arrays into one file, through little memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from bitesize.cli.console import console, errors, plain, print_json
from bitesize.cli.options import Json

if TYPE_CHECKING:
    import numpy as np
    from rich.progress import Progress


def concat(
    parts: Annotated[
        list[str],
        typer.Argument(
            metavar="PART...", help="`.npy` files, members such as all.npz::x, or patterns in quotes: 'parts/*.npy'."
        ),
    ],
    out: Annotated[str, typer.Option(metavar="FILE", help="The `.npy` file to write; it appears when it is complete.")],
    axis: Annotated[int, typer.Option(metavar="N", help="Along which axis. 0: one behind the other, as rows.")] = 0,
    dtype: Annotated[
        str | None,
        typer.Option(metavar="DTYPE", help="What values become, such as float32. By default what NumPy would make."),
    ] = None,
    memory: Annotated[
        str, typer.Option(metavar="SIZE", help="What may be held. More than the default makes nothing faster.")
    ] = "128MiB",
    json: Json = False,
) -> None:
    """Join arrays into one `.npy` file, as np.concatenate and np.save would, whatever their size."""
    import time

    import bitesize as bs
    from bitesize.errors import BadSetting, BitesizeError
    from bitesize.memory.budget import Budget
    from bitesize.memory.sizes import format_size

    budget, begun = Budget(memory), time.perf_counter()
    try:
        lazy = bs.concatenate(_expanded(parts), axis)
        if dtype is not None:
            lazy = lazy.astype(_dtype(dtype))
        with _bar(hide=json) as progress:
            task = progress.add_task("writing", total=lazy.nbytes)
            path = lazy.save(out, budget, lambda done, total: progress.update(task, completed=done))
    except ValueError as error:  # NumPy's own, about an axis or text that is no number
        raise error if isinstance(error, BitesizeError) else BadSetting(str(error)) from None
    seconds = time.perf_counter() - begun
    if json:
        print_json({
            "path": str(path), "shape": list(lazy.shape), "dtype": str(lazy.dtype), "nbytes": lazy.nbytes, "seconds": seconds,
            "peak_bytes": budget.peak,
        })  # fmt: skip
        return
    rate = format_size(int(lazy.nbytes / max(seconds, 1e-9)))
    console.print(
        f"{lazy.shape} {lazy.dtype}, {format_size(lazy.nbytes)} in [bold]{plain(path)}[/]: {seconds:.1f} s, {rate}/s, "
        f"{format_size(budget.peak)} held",
        highlight=False,
    )


def _expanded(parts: list[str]) -> list[str]:
    """Take patterns apart that no shell has taken apart."""
    import glob
    import os

    from bitesize.errors import NotFound

    files: list[str] = []
    for part in parts:
        if glob.has_magic(part) and not os.path.exists(part):
            found = sorted(glob.glob(part))
            if not found:
                raise NotFound(f"no file matches {part}")
            files += found
        else:
            files.append(part)
    return files


def _dtype(text: str) -> np.dtype[Any]:
    import numpy as np

    from bitesize.errors import BadSetting

    try:
        return np.dtype(text)
    except TypeError:
        raise BadSetting(f"--dtype: NumPy knows no {text!r}; try float32, float64, uint8, int64") from None


def _bar(hide: bool) -> Progress:
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    return Progress(
        TextColumn("{task.description}"), BarColumn(bar_width=24), DownloadColumn(binary_units=True), TransferSpeedColumn(),
        TimeRemainingColumn(), console=errors, transient=True, disable=hide,
    )  # fmt: skip
