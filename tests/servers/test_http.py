"""Web servers with and without ranges, as obstore reads them."""

from __future__ import annotations

import urllib.request

import pytest

obstore = pytest.importorskip("obstore")
from obstore.store import HTTPStore  # noqa: E402

from tests.servers import faults  # noqa: E402
from tests.servers.http import file_server  # noqa: E402
from tests.servers.proxy import Proxy  # noqa: E402

BODY = bytes(range(256)) * 4
ODD = ["a b.jpg", "a%20b.jpg", "a+b.jpg", "ümläut.jpg", "q#z=1.jpg"]


def fill(server, tmp_path) -> str:
    """Make a folder of this test with one file, and return its name."""
    folder = server.folder / tmp_path.name
    folder.mkdir()
    (folder / "x").write_bytes(BODY)
    return folder.name


@pytest.mark.remote
def test_ranges(http_server, tmp_path):
    name = fill(http_server, tmp_path)
    store = HTTPStore(http_server.url, **http_server.options())
    assert bytes(obstore.get(store, f"{name}/x", options={"range": (10, 200)}).bytes()) == BODY[10:200]
    assert obstore.head(store, f"{name}/x")["e_tag"] is None
    assert obstore.head(store, f"{name}/x")["size"] == 1024
    with pytest.raises(FileNotFoundError):
        obstore.head(store, f"{name}/y")


@pytest.mark.remote
def test_odd_names_and_the_page_of_their_folder(http_server, tmp_path):
    name = fill(http_server, tmp_path)
    store = HTTPStore(http_server.url, **http_server.options())
    for odd in ODD:
        (http_server.folder / name / odd).write_text(odd, encoding="utf-8")
    for odd in ODD:
        assert bytes(obstore.get(store, f"{name}/{odd}").bytes()).decode() == odd
    with urllib.request.urlopen(f"{http_server.url}/{name}/") as page:
        text = page.read().decode()
    assert 'href="a%20b.jpg"' in text
    assert 'href="a%2520b.jpg"' in text


def test_without_ranges_obstore_refuses_the_whole_file(http_server_without_ranges, tmp_path):
    name = fill(http_server_without_ranges, tmp_path)
    store = HTTPStore(http_server_without_ranges.url, **http_server_without_ranges.options())
    assert bytes(obstore.get(store, f"{name}/x").bytes()) == BODY
    with pytest.raises(obstore.exceptions.NotSupportedError, match="Range request not supported"):
        obstore.get(store, f"{name}/x", options={"range": (10, 200)})


def test_a_web_server_with_ranges_etags_and_conditions(runtime_of_obstore, tmp_path):
    (tmp_path / "x").write_bytes(BODY)
    with file_server(tmp_path, ranges=True) as server:
        store = HTTPStore(server.url, **server.options())
        etag = obstore.head(store, "x")["e_tag"]
        got = obstore.get(store, "x", options={"range": (10, 2000), "if_match": etag})
        assert (bytes(got.bytes()), got.range) == (BODY[10:], (10, 1024))
        assert bytes(obstore.get(store, "x", options={"range": {"offset": 1000}}).bytes()) == BODY[1000:]
        (tmp_path / "x").write_bytes(b"another")
        with pytest.raises(obstore.exceptions.PreconditionError):
            obstore.get(store, "x", options={"if_match": etag})
        with pytest.raises(FileNotFoundError):
            obstore.get(store, "y")


def test_what_lies_outside_of_the_folder_is_not_served(tmp_path):
    (tmp_path / "inside").mkdir()
    (tmp_path / "x").write_bytes(BODY)
    with file_server(tmp_path / "inside") as server, pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{server.url}/%2e%2e/x")


def test_faults_in_front(http_server_without_ranges, tmp_path):
    name = fill(http_server_without_ranges, tmp_path)
    plan = faults.in_turn([faults.too_many_requests(), faults.longer(5)])
    with Proxy(http_server_without_ranges.address, plan=plan) as proxy:
        store = HTTPStore(f"http://{proxy.address}", **http_server_without_ranges.options())
        assert bytes(obstore.get(store, f"{name}/x").bytes()) == BODY + b"\xff" * 5
    assert proxy.counters.faults == {"too_many_requests": 1, "longer": 1}
