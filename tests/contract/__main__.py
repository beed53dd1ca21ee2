"""Run all cases under all limits and print one table: ``python -m tests.contract [WORD]``, cases that have the word."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.contract.cases import CASES, LIMITS
from tests.contract.measure import measure, why_not

_MIB = 1 << 20


def main() -> int:
    """Measure, print, and tell whether the contract holds."""
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    console, broken = Console(), 0
    table = Table("case", "limit", "data", "budget", "peak", "high water", "own account", "verdict", box=None)
    with tempfile.TemporaryDirectory(prefix="bitesize-contract-") as folder:
        for number, case in enumerate(CASES):
            for limit in LIMITS if word in str(case) else []:
                reason = why_not(limit, case.how, case.kind)
                if reason is not None:
                    table.add_row(str(case), limit, "", "", "", "", "", f"skipped: {reason}")
                    continue
                console.log(f"{case}, limit: {limit}")
                outcome = measure(number, limit, Path(folder))
                complaints = outcome.complaints(case.budget * _MIB)
                broken += bool(complaints)
                said = f"{outcome.limit / _MIB:,.0f} MiB " if outcome.limit else ""
                grown = "" if outcome.growth is None else f", grew by {outcome.growth / _MIB:.1f} MiB in 95 epochs"
                table.add_row(
                    str(case), f"{said}{limit}", f"{case.decoded_mib:,.0f} MiB", f"{case.budget} MiB",
                    f"{outcome.held / _MIB:.1f} MiB", f"{outcome.high_water / _MIB:.1f} MiB",
                    f"{outcome.told.get('peak', 0) / _MIB:.1f} MiB",
                    f"[red]{'; '.join(complaints)}[/]" if complaints else f"[green]holds[/]{grown}",
                )  # fmt: skip
                if complaints:
                    console.log(f"[red]{complaints}", outcome)
    Console(width=200).print(table)
    return min(broken, 1)


if __name__ == "__main__":
    sys.exit(main())
