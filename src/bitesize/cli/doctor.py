"""`bitesize doctor`: what this machine and this environment have, what limits them, and what is missing or wrong."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from bitesize.cli.console import console, plain, print_json
from bitesize.cli.options import Json

EXIT_FOUND = 3
# Variables that change what bitesize and the backends do; those with secrets are not among them.
_VARIABLES = (
    "KERAS_BACKEND", "CUDA_VISIBLE_DEVICES", "JAX_PLATFORMS", "XLA_PYTHON_CLIENT_PREALLOCATE", "OMP_NUM_THREADS", "NUMBA_CACHE_DIR",
    "NUMBA_DISABLE_JIT", "BITESIZE_DEBUG", "BITESIZE_RANK_TIMEOUT", "RAY_ADDRESS", "WORLD_SIZE", "LD_PRELOAD",
)  # fmt: skip
# Keras with a backend takes about 0.7 GiB.
_LITTLE = 1 << 30


def doctor(
    folder: Annotated[
        str,
        typer.Argument(metavar="FOLDER", help="A folder on the disk to measure; a file of 64 MiB is written and removed."),
    ] = ".",
    json: Json = False,
) -> None:
    """Show versions, backend, GPU, memory limits, processors, the speed of a disk, what missing packages would add, and what is wrong.

    Exit codes: 0: no problems; 3: problems, which are listed.
    """
    from bitesize.cli import doctor_machine as machine
    from bitesize.cli import doctor_packages as packages
    from bitesize.errors import NotFound

    if not os.path.isdir(folder):
        raise NotFound(f"the folder {folder} does not exist")
    found: dict[str, Any] = {"problems": []}
    for name, ask in (
        ("machine", _machine), ("limits", _limits), ("environment", _environment), ("backend", machine.backend), ("gpus", machine.gpus),
        ("disk", lambda: machine.disk(folder)), ("extras", packages.extras), ("packages", packages.problems_of_packages),
    ):  # fmt: skip
        try:
            found[name] = ask()
        except Exception as error:  # a sandbox may refuse anything; the other answers help all the same
            found[name] = None
            found["problems"].append(f"{name} could not be examined: {type(error).__name__}: {error}")
    found["problems"] += _problems(found)
    if json:
        print_json(found)
    else:
        _print(found)
    if found["problems"]:
        raise typer.Exit(EXIT_FOUND)


def _machine() -> dict[str, Any]:
    from bitesize.memory.limits import usable_cpus
    from bitesize.training.record import machine, versions

    return {**machine(), "usable_processors": usable_cpus(), "versions": versions()}


def _limits() -> list[dict[str, Any]]:
    """Return the limits of memory, the one that applies first."""
    from bitesize.memory.limits import limits

    return [{"name": limit.name, "room": limit.room} for limit in sorted(limits(), key=lambda limit: limit.room)]


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in _VARIABLES if name in os.environ}


def _problems(found: dict[str, Any]) -> list[str]:
    from bitesize.cli.doctor_machine import unused_gpu
    from bitesize.memory.sizes import format_size

    problems = list(found.pop("packages") or [])
    if found["backend"]:
        problems += filter(None, [found["backend"]["problem"], unused_gpu(found["backend"], found["gpus"] or [])])
    if found["limits"] and found["limits"][0]["room"] < _LITTLE:
        limit = found["limits"][0]
        problems.append(
            f"{format_size(limit['room'])} of memory are left ({limit['name']}): Keras alone takes about 0.7 GiB"
        )
    return problems


def _print(found: dict[str, Any]) -> None:
    from rich.table import Table

    from bitesize.cli.help import entries, print_lines
    from bitesize.packages import pip_install_extra

    print_lines(entries(_facts(found)))
    if found["extras"]:
        console.print()
        extras = Table("extra", "installed", "for", box=None, padding=(0, 2))
        for each in found["extras"]:
            extras.add_row(each["name"], "no" if each["missing"] else "too old" if each["old"] else "yes", each["for"])
        console.print_table(extras)
        missing = [each["name"] for each in found["extras"] if each["missing"]]
        if missing:
            console.print(
                f"\nA missing extra is added with, for example, {plain(pip_install_extra(missing[0]))}", highlight=False
            )
    console.print()
    if not found["problems"]:
        console.print("no problems found", highlight=False)
    for problem in found["problems"]:
        console.print(f"[bold red]problem:[/] {plain(problem)}", highlight=False)


def _facts(found: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what was found, as names and texts."""
    from bitesize.memory.sizes import format_size

    machine, limits, lines = found["machine"], found["limits"], []
    if machine:
        versions = dict(machine["versions"])
        lines.append(("bitesize", f"{versions.pop('bitesize')} on Python {versions.pop('python')}, {machine['system']}"))
        lines.append(("with", ", ".join(f"{name} {version}" for name, version in versions.items())))
        lines.append(
            ("processors", f"{machine['usable_processors']} usable of {machine['threads']}: {machine['processor']}")
        )
    if limits:
        room = limits[0]["room"]
        total = f" of {format_size(machine['memory'])}" if machine else ""
        lines.append(("memory", f"{format_size(room)} left{total}; the limit that applies is {limits[0]['name']}"))
        lines += [("limit", f"{format_size(each['room'])} left; {each['name']}") for each in limits[1:]]
        lines.append(
            (
                "loading",
                f"takes up to {format_size(room // 4)} by default, or {format_size(room * 3 // 4)} if the data needs it (--memory)",
            )
        )
    lines += _of_backend(found["backend"], found["gpus"] or [])
    if found["disk"]:
        lines.append(
            (
                "disk",
                f"{Path(found['disk']['folder']).resolve()} ({found['disk']['system'] or 'unknown'}): {_of_disk(found['disk'])}",
            )
        )
    lines += [("set", f"{name}={value}") for name, value in (found["environment"] or {}).items()]
    return lines


def _of_backend(backend: dict[str, Any] | None, gpus: list[str]) -> list[tuple[str, str]]:
    there = ("GPU", "; ".join(gpus) or "none found")
    if not backend or backend["name"] is None:
        return [("Keras", f"cannot be used: {backend['missing']}" if backend else "not known"), there]
    if backend["problem"]:
        return [("Keras", f"with {backend['name']}: cannot be loaded"), there]
    why = (
        f"chosen by {backend['chosen_by']}"
        if backend["chosen_by"]
        else "the first that is installed of torch, tensorflow and jax; KERAS_BACKEND chooses another"
    )
    used = f"Keras uses {', '.join(backend['devices'])}" if backend["devices"] else "Keras uses the CPU"
    return [
        ("Keras", f"{backend['keras']} with {backend['name']} {backend['version']} ({why})"),
        ("GPU", f"{there[1]}. {used}" if gpus or backend["devices"] else f"{there[1]}; {used}"),
    ]


def _of_disk(disk: dict[str, Any]) -> str:
    from bitesize.memory.sizes import format_size

    free = "" if disk["free"] is None else f"{format_size(disk['free'])} free, "
    if disk["problem"]:
        return f"{free}not measured: {disk['problem']}"
    read = (
        "reading is not measured: it would come from memory"
        if disk["read"] is None
        else f"reads {format_size(int(disk['read']))}/s, both past the page cache, 64 MiB by one thread"
    )
    return f"{free}writes {format_size(int(disk['write']))}/s, {read}"
