"""The server of Google Cloud Storage answers obstore."""

from __future__ import annotations

import pytest

obstore = pytest.importorskip("obstore")
from obstore.store import GCSStore  # noqa: E402

from tests.servers import faults  # noqa: E402
from tests.servers.proxy import Proxy  # noqa: E402
from tests.servers.test_s3 import ODD  # noqa: E402

pytestmark = pytest.mark.remote


def test_keys_are_put_listed_and_read_unchanged(gcs_server):
    bucket = gcs_server.make_bucket()
    store = GCSStore(bucket, **gcs_server.options())
    for key in ODD[::2]:
        gcs_server.put(bucket, key, key.encode())
    for key in ODD[1::2]:
        obstore.put(store, key, key.encode())
    assert {each["path"]: each["size"] for page in obstore.list(store) for each in page} == {
        key: len(key.encode()) for key in ODD
    }
    for key in ODD:
        assert bytes(obstore.get(store, key).bytes()) == key.encode()


def test_ranges_and_conditions(gcs_server):
    bucket = gcs_server.make_bucket()
    store = GCSStore(bucket, **gcs_server.options())
    gcs_server.put(bucket, "x", bytes(range(100)))
    etag = next(iter(obstore.list(store)))[0]["e_tag"]
    assert bytes(obstore.get(store, "x", options={"range": (10, 20), "if_match": etag}).bytes()) == bytes(range(10, 20))
    gcs_server.put(bucket, "x", b"another")
    with pytest.raises(obstore.exceptions.PreconditionError):
        obstore.get(store, "x", options={"if_match": etag})


def test_faults_in_front(gcs_server):
    bucket = gcs_server.make_bucket()
    gcs_server.put(bucket, "x", bytes(range(100)))
    with Proxy(gcs_server.address, plan=faults.in_turn([faults.too_many_requests(), faults.cut(5)])) as proxy:
        store = GCSStore(bucket, **gcs_server.options(proxy.address))
        assert bytes(obstore.get(store, "x", options={"range": (10, 20)}).bytes()) == bytes(range(10, 20))
    assert proxy.counters.faults == {"too_many_requests": 1, "cut": 1}
