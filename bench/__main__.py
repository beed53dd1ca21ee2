"""``python -m bench``: run cases, print tables, write JSON and charts."""

from __future__ import annotations

import argparse
import json
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.cases import CASES, Case
from bench.chart import chart
from bench.compare import ROOT, Result, compare

# Too large, or too dependent on the machine's disk, to run unless asked for.
_ONLY_IF_NAMED = ("open-million", "cold")
_PACKAGES = (
    "bitesize", "numpy", "numba", "simplejpeg", "pillow", "torch", "torchvision", "keras", "tensorflow-cpu", "grain",
    "webdataset", "opencv-python-headless", "ffcv",
)  # fmt: skip
_HERE = Path(__file__).parent


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Compare loaders, each in a process of its own.")
    parser.add_argument("--case", action="append", choices=list(CASES), help="a case; all but the largest if not given")
    parser.add_argument("--peer", action="append", help="only loaders whose name contains this; bitesize is always there")
    parser.add_argument("--rounds", type=int, default=7, help="epochs of each loader, in turn (7)")
    parser.add_argument("--data", type=Path, default=_HERE / "data-cache", help="where data is made and kept")
    parser.add_argument("--out", type=Path, default=_HERE / "results", help="where JSON and charts are written")
    chosen = parser.parse_args()
    console = Console()
    console.print(machine(), versions(), sep="\n", highlight=False)
    for name in chosen.case or [name for name in CASES if name not in _ONLY_IF_NAMED]:
        case = CASES[name]
        peers = [
            peer
            for i, peer in enumerate(case.peers)
            if not chosen.peer or i == 0 or any(part.lower() in peer.lower() for part in chosen.peer)
        ]
        folder = case.folder(chosen.data)
        with console.status("") as status:
            results = compare(name, case, folder, {peer: (peer, ROOT) for peer in peers}, chosen.rounds, status.update)
        show(console, name, case, results)
        write(chosen.out, name, case, results)


def show(console: Console, name: str, case: Case, results: dict[str, Result]) -> None:
    """Print one case as a table."""
    table = Table(title=f"{name}: {case.title}", title_justify="left", box=None, padding=(0, 2))
    table.add_column("")
    table.add_column(case.unit, justify="right")
    table.add_column("spread", justify="right", style="dim")
    first = next(iter(results))
    table.add_column(f"{first} is", justify="right")
    if case.memory:
        table.add_column("peak MB", justify="right")
    table.add_column("how", style="dim", overflow="fold")
    for peer, result in results.items():
        if not result.values:
            table.add_row(
                peer,
                "-",
                "",
                "",
                *([""] if case.memory else []),
                escape(f"did not take part: {result.missing.strip().splitlines()[-1]}"),
            )
            continue
        value = f"{result.median:.3f}" if case.unit == "s" else f"{result.median:,.0f}"
        ratio = "" if peer == first else f"{ratio_of(case, results, first, peer):.2f} x"
        peak = [f"{result.peak / 1e6:,.0f}"] if case.memory else []
        table.add_row(peer, value, f"{result.spread:.0%}", ratio, *peak, escape(result.how))
    console.print(table, highlight=False)
    for one, other, least in case.bars:
        if one in results and other in results and results[one].values and results[other].values:
            ratio = ratio_of(case, results, one, other)
            met = "[green]met[/]" if ratio >= least else "[red]missed[/]"
            console.print(f"  {one} / {other}: {ratio:.2f}, hoped for {least:g}: {met}", highlight=False)


def ratio_of(case: Case, results: dict[str, Result], one: str, other: str) -> float:
    """Median of the ratios within each round, which what else the machine does leaves alone."""
    import statistics

    pairs = zip(results[one].values, results[other].values, strict=True)
    return statistics.median(b / a if case.unit == "s" else a / b for a, b in pairs)


def write(out: Path, name: str, case: Case, results: dict[str, Result]) -> None:
    """Write one case as JSON and SVG."""
    out.mkdir(parents=True, exist_ok=True)
    record = {
        "case": name,
        "title": case.title,
        "unit": case.unit,
        "batch": case.batch,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions(),
        "results": {peer: vars(result) for peer, result in results.items()},
    }
    (out / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    (out / f"{name}.svg").write_text(chart(case.title, case.unit, results), encoding="utf-8")


def machine() -> str:
    """Name the machine."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0] if names else model
    return f"{os.cpu_count()} cores, {model}, {platform.system()} {platform.release()}, Python {platform.python_version()}"


def versions() -> str:
    """List the versions of all packages that take part."""
    found = []
    for package in _PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} not installed")
    return ", ".join(found)


if __name__ == "__main__":
    main()
