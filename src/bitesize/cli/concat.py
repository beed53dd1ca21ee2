"""`bitesize concat`: join many arrays into one file, in little memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from bitesize.cli.console import console, plain, print_json
from bitesize.cli.options import Json, Overwrite, refuse_to_replace

if TYPE_CHECKING:
    import numpy as np


Parts = Annotated[
    list[str],
    typer.Argument(
        metavar="PART...", help="`.npy` files, members such as all.npz::x, or patterns in quotes: 'parts/*.npy'."
    ),
]
NpyFile = Annotated[str, typer.Option(metavar="FILE", help="The `.npy` file to write. It appears only when complete.")]
DataType = Annotated[
    str | None, typer.Option(metavar="DTYPE", help="Data type of the result, such as float32. Default: as in NumPy.")
]


def concat(
    parts: Parts,
    out: NpyFile,
    axis: Annotated[int, typer.Option(metavar="N", help="Axis to join along. 0: the rows of all parts.")] = 0,
    stack: Annotated[
        bool, typer.Option("--stack", help="Join along a new axis: each part, such as one image, becomes one row.")
    ] = False,
    dtype: DataType = None,
    memory: Annotated[
        str, typer.Option(metavar="SIZE", help="Memory budget. More than the default is not faster.")
    ] = "128MiB",
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Join arrays into one `.npy` file, as np.concatenate (or np.stack) and np.save would, whatever their size."""
    import time

    import bitesize as bs
    from bitesize.cli.bar import counting_bytes
    from bitesize.errors import BadSetting, BitesizeError
    from bitesize.files.scan import matching
    from bitesize.lazy.functions import images_joined
    from bitesize.lazy.save import target_of
    from bitesize.memory.budget import Budget
    from bitesize.memory.sizes import format_size

    refuse_to_replace(str(target_of(out)), overwrite)
    budget, begun = Budget(memory), time.perf_counter()
    try:
        # Patterns that the shell did not expand, as on Windows or in quotes.
        paths = [path for part in parts for path in matching(part)]
        lazy = bs.stack(paths, axis) if stack else bs.concatenate(paths, axis)
        note = None if stack else images_joined(lazy, axis)
        if dtype is not None:
            lazy = lazy.astype(_dtype(dtype))
        with counting_bytes("writing", lazy.nbytes, hide=json) as at:
            path = lazy.save(out, budget, lambda done, total: at(done))
    except ValueError as error:  # an error of NumPy about an axis, or text that is not a number
        raise error if isinstance(error, BitesizeError) else BadSetting(str(error)) from None
    seconds = time.perf_counter() - begun
    if json:
        print_json({
            "path": str(path), "shape": list(lazy.shape), "dtype": str(lazy.dtype), "nbytes": lazy.nbytes, "seconds": seconds,
            "peak_bytes": budget.peak, "note": note,
        })  # fmt: skip
        return
    rate = format_size(int(lazy.nbytes / max(seconds, 1e-9)))
    console.print(
        f"{lazy.shape} {lazy.dtype}, {format_size(lazy.nbytes)} in [bold]{plain(path)}[/]: {seconds:.1f} s, {rate}/s, "
        f"peak memory {format_size(budget.peak)}",
        highlight=False,
    )
    if note:
        console.print(f"{plain(note)}; use --stack to make each array one row", highlight=False)


def _dtype(text: str) -> np.dtype[Any]:
    import numpy as np

    from bitesize.errors import BadSetting

    try:
        return np.dtype(text)
    except TypeError:
        raise BadSetting(
            f"--dtype: NumPy has no data type {text!r}; use float32, float64, uint8 or int64, for example"
        ) from None
