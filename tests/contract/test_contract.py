"""The memory contract holds: the quick cases, under every limit that this machine has. `make contract` runs all."""

import pytest

from tests.contract.cases import CASES, LIMITS
from tests.contract.measure import measure, why_not

_MIB = 1 << 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("contract")


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("number", [i for i, case in enumerate(CASES) if case.quick], ids=lambda i: str(CASES[i]))
def test_what_is_held_stays_within_the_budget(number, limit, folder):
    case = CASES[number]
    reason = why_not(limit, case.how)
    if reason is not None:
        pytest.skip(reason)
    outcome = measure(number, limit, folder)
    assert outcome.complaints(case.budget * _MIB) == [], outcome


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_data_is_twenty_times_the_budget(case):
    assert case.decoded_mib >= 20 * case.budget or case.how in ("many epochs", "concat")
