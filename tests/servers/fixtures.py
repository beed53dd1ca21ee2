"""Fixtures of servers, for all folders of tests; a test is skipped where the program of its server is missing.

A server lives as long as the session, or the xdist worker: tests take buckets and folders of their own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from typing import TypeVar

import pytest

from tests.servers import azure, gcs, http, s3
from tests.servers.programs import FOLDER, ProgramMissing
from tests.servers.proxy import Proxy

Server = TypeVar("Server")


def or_skip(server: contextlib.AbstractContextManager[Server]) -> Iterator[Server]:
    """Yield a running server, or skip the test that asked for it."""
    with contextlib.ExitStack() as stack:
        try:
            running = stack.enter_context(server)
        except ProgramMissing as missing:
            pytest.skip(str(missing))
        yield running


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Report all tests that lack the same server in one line, in place of one line for each."""
    report = yield
    if report.skipped and isinstance(report.longrepr, tuple) and report.longrepr[2].endswith(f"in {FOLDER}"):
        report.longrepr = (__file__, 1, report.longrepr[2])
    return report


@pytest.fixture(scope="session")
def runtime_of_obstore() -> None:
    """Start the threads of obstore, whose descriptors stay open, before a test counts them."""
    with contextlib.suppress(ImportError):
        import obstore
        from obstore.store import HTTPStore

        with contextlib.suppress(obstore.exceptions.BaseError, FileNotFoundError):
            nowhere = {"client_options": {"allow_http": True}, "retry_config": {"max_retries": 0}}
            obstore.head(HTTPStore("http://127.0.0.1:9", **nowhere), "nothing")


@pytest.fixture(scope="session")
def s3_server(runtime_of_obstore: None) -> Iterator[s3.S3Server]:
    """An S3 server."""
    yield from or_skip(s3.s3_server())


@pytest.fixture
def bucket(s3_server: s3.S3Server) -> str:
    """An empty bucket of the S3 server."""
    return s3_server.make_bucket()


@pytest.fixture
def proxy(s3_server: s3.S3Server) -> Iterator[Proxy]:
    """A proxy in front of the S3 server, without faults at first."""
    with Proxy(s3_server.address, keys=s3.KEYS) as running:
        yield running


@pytest.fixture(scope="session")
def gcs_server(s3_server: s3.S3Server) -> Iterator[gcs.GCSServer]:
    """A server of Google Cloud Storage."""
    with gcs.gcs_server(s3_server) as running:
        yield running


@pytest.fixture(scope="session")
def azure_server(runtime_of_obstore: None) -> Iterator[azure.AzureServer]:
    """A server of Azure Blob Storage."""
    yield from or_skip(azure.azure_server())


@pytest.fixture(scope="session")
def http_server(runtime_of_obstore: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[http.HTTPServer]:
    """A web server with ranges and with pages that list folders."""
    yield from or_skip(http.rclone_server(tmp_path_factory.mktemp("served")))


@pytest.fixture(scope="session")
def http_server_without_ranges(
    runtime_of_obstore: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[http.HTTPServer]:
    """A web server that answers a request for a range with the whole file."""
    with http.file_server(tmp_path_factory.mktemp("served-whole")) as running:
        yield running
