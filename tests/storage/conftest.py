"""What tests of storages share."""

from tests.sources.conftest import arrow_has_its_pipe, zarrs_own_thread_runs  # noqa: F401 - fixtures
