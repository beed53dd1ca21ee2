"""Fixtures that tests of sources have too."""

from tests.sources.conftest import arrow_has_its_pipe as arrow_has_its_pipe
from tests.sources.conftest import zarrs_own_thread_runs as zarrs_own_thread_runs
