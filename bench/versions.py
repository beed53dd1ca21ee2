"""``python -m bench.versions OLD``: compare this checkout of bitesize with an older one, in turn, in one run.

Every peer of a case that is bitesize itself runs from both checkouts, each with its own bench. The ratio of a case is the median over rounds.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

from rich.console import Console

from bench.cases import CASES, Case
from bench.compare import ROOT, Result, compare

_DATA = Path(__file__).parent / "data-cache"
_OURS = ("bitesize_peer:", "outputs_peer:", "chunked_peer:ours", "keras_peer:fit_ours", "tutorial:ours")
# Speed of other things than bitesize, or minutes for one round.
_LEFT_OUT = ("cold", "open-million", "busy-consumer")


def main() -> None:
    """Compare both checkouts, and print a line a peer."""
    parser = argparse.ArgumentParser(prog="python -m bench.versions", description=__doc__.partition("\n")[0])
    parser.add_argument("old", type=Path, help="the older checkout")
    parser.add_argument("--case", action="append", choices=list(CASES), help="a case; all but the largest if not given")
    parser.add_argument("--rounds", type=int, default=7, help="epochs of each, in turn (7)")
    parser.add_argument("--data", type=Path, default=_DATA, help="where data is made and kept")
    chosen = parser.parse_args()
    console = Console(highlight=False)
    for name in chosen.case or [name for name in CASES if name not in _LEFT_OUT]:
        case = CASES[name]
        for peer, function in case.peers.items():
            if not function.startswith(_OURS) or function.endswith(("_memmap", "_resident")):
                continue
            checkouts = {"new": (peer, ROOT), "old": (peer, chosen.old.resolve())}
            with console.status("") as status:
                results = compare(name, case, case.folder(chosen.data), checkouts, chosen.rounds, status.update)
            console.print(line(f"{name}, {peer}", case, results), soft_wrap=True)


def line(title: str, case: Case, results: dict[str, Result]) -> str:
    """Return the line of one peer: new to old, as speed, and both medians."""
    new, old = results["new"], results["old"]
    if not (new.values and old.values):
        missing = (new.missing or old.missing).strip().splitlines()
        return f"{title}: not measured ({missing[-1] if missing else 'no values'})"
    ratios = [b / a if case.unit == "s" else a / b for a, b in zip(new.values, old.values, strict=True)]
    medians = " and ".join(f"{result.median:,.3f}" if case.unit == "s" else f"{result.median:,.0f}" for result in (new, old))
    return f"{title}: {statistics.median(ratios):.3f} of the old speed ({min(ratios):.2f} to {max(ratios):.2f}; {medians} {case.unit})"


if __name__ == "__main__":
    main()
