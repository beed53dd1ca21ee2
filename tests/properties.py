"""How many examples property tests try: a tenth in `make test`, all where ``BITESIZE_TESTS=full``, as in ``.ci/run``."""

import os

from hypothesis import settings

FULL = os.environ.get("BITESIZE_TESTS") == "full"


def examples(count: int, **more: object) -> settings:
    """Return hypothesis's settings for a test that tries so many examples when all are tried."""
    return settings(
        max_examples=count if FULL else max(5, count // 10), deadline=None, **more
    )  # what is slow is measured by the bench
