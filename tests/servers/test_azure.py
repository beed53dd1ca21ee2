"""The server of Azure Blob Storage holds keys unchanged, and answers obstore."""

from __future__ import annotations

import pytest

obstore = pytest.importorskip("obstore")
from obstore.store import AzureStore  # noqa: E402

from tests.servers import faults  # noqa: E402
from tests.servers.proxy import Proxy  # noqa: E402
from tests.servers.test_s3 import ODD  # noqa: E402

pytestmark = pytest.mark.remote


def test_keys_are_put_listed_and_read_unchanged(azure_server):
    container = azure_server.make_container()
    store = AzureStore(container, **azure_server.options())
    for key in ODD[::2]:
        azure_server.put(container, key, key.encode())
    for key in ODD[1::2]:
        obstore.put(store, key, key.encode())
    assert {each["path"]: each["size"] for page in obstore.list(store) for each in page} == {
        key: len(key.encode()) for key in ODD
    }
    for key in ODD:
        assert bytes(obstore.get(store, key).bytes()) == key.encode()


def test_obstore_refuses_the_whole_listing_for_one_key_with_two_slashes(azure_server):
    container = azure_server.make_container()
    for key in ("double//slash.jpg", "folder/", "plain.jpg"):
        azure_server.put(container, key)
    assert azure_server.keys(container) == ["double//slash.jpg", "folder/", "plain.jpg"]
    store = AzureStore(container, **azure_server.options())
    with pytest.raises(obstore.exceptions.InvalidPathError):
        list(obstore.list(store))


def test_ranges_and_conditions(azure_server):
    container = azure_server.make_container()
    store = AzureStore(container, **azure_server.options())
    azure_server.put(container, "x", bytes(range(100)))
    etag = obstore.head(store, "x")["e_tag"]
    listed = next(iter(obstore.list(store)))[0]["e_tag"]
    assert etag == f'"{listed}"'  # Azure lists ETags without their quotes
    assert bytes(obstore.get(store, "x", options={"range": (10, 20), "if_match": etag}).bytes()) == bytes(range(10, 20))
    azure_server.put(container, "x", b"another")
    with pytest.raises(obstore.exceptions.PreconditionError):
        obstore.get(store, "x", options={"if_match": etag})


def test_faults_in_front(azure_server):
    container = azure_server.make_container()
    azure_server.put(container, "x", bytes(range(100)))
    with Proxy(azure_server.address, plan=faults.in_turn([faults.slow_down(), faults.cut(5)])) as proxy:
        store = AzureStore(container, **azure_server.options(proxy.address))
        assert bytes(obstore.get(store, "x", options={"range": (10, 20)}).bytes()) == bytes(range(10, 20))
    assert proxy.counters.faults == {"slow_down": 1, "cut": 1}


def test_a_folder_of_files(azure_server, tmp_path):
    container = azure_server.make_container()
    (tmp_path / "1.bin").write_bytes(b"one")
    azure_server.put_folder(container, tmp_path, "data/")
    assert azure_server.keys(container) == ["data/1.bin"]
