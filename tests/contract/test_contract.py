"""The memory contract holds: the quick cases, under every limit that this machine has. `make contract` runs all."""

import subprocess
import sys

import pytest

from tests.contract.cases import CASES, LIMITS
from tests.contract.measure import measure, small_group, why_not

_MIB = 1 << 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("contract")


@pytest.mark.parametrize(
    "limit", [pytest.param(limit, marks=[pytest.mark.slow] if limit == "nothing" else []) for limit in LIMITS]
)
@pytest.mark.parametrize(
    "number",
    # Progressive JPEGs take ten seconds and more.
    [
        pytest.param(i, marks=[pytest.mark.slow] if "mixed" in str(case) else [])
        for i, case in enumerate(CASES)
        if case.quick
    ],
    ids=lambda i: str(CASES[i]),
)
def test_what_is_held_stays_within_the_budget(number, limit, folder):
    case = CASES[number]
    reason = why_not(limit, case.how, case.kind)
    if reason is not None:
        pytest.skip(reason)
    outcome = measure(number, limit, folder)
    assert outcome.complaints(case.budget * _MIB) == [], outcome


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_data_is_twenty_times_the_budget(case):
    assert case.decoded_mib >= 20 * case.budget or case.how in ("many epochs", "concat")


@pytest.mark.skipif(why_not("cgroup", "epochs") is not None, reason=str(why_not("cgroup", "epochs")))
def test_a_container_that_is_too_small_is_told_before_loading(folder):
    program = (
        "import numpy as np, bitesize as bs\n"
        "source = bs.open(np.broadcast_to(np.zeros(1 << 20, np.float32), (4000, 1 << 20)))\n"
        "try:\n"
        "    bs.Loader(source, batch_size=64, memory='4 GiB')\n"
        "except bs.DoesNotFit as error:\n"
        "    print(error)\n"
    )
    with small_group() as group:
        (group / "memory.limit_in_bytes").write_text(str(400 * _MIB))
        enter = f"import os; open({str(group / 'cgroup.procs')!r}, 'w').write(str(os.getpid()))\n"
        done = subprocess.run(
            [sys.executable, "-c", enter + program], capture_output=True, text=True, timeout=60, check=False
        )
    assert done.returncode == 0, done.stderr
    assert "this loader needs 7" in done.stdout
    assert "bitesize-contract" in done.stdout
    assert "Lower batch_size, or raise that limit" in done.stdout
