"""Listings that are made up read like those of a real bucket."""

from __future__ import annotations

import pytest

obstore = pytest.importorskip("obstore")
from obstore.store import S3Store  # noqa: E402

from tests.servers.listing import listed  # noqa: E402

pytestmark = pytest.mark.remote
KEYS = sorted(
    [f"{folder}/{number}.jpg" for folder in ("a b", "a", "ü/x", "z+") for number in range(7)] + ["0", "a.txt", "zz"]
)


def read(store, **options) -> list[str]:
    return [each["path"] for page in obstore.list(store, **options) for each in page]


@pytest.mark.parametrize("page", [1, 3, 1000])
def test_it_is_that_of_a_real_bucket(s3_server, bucket, proxy, page):
    for key in KEYS:
        s3_server.put(bucket, key, b"-")
    real = S3Store(bucket, **s3_server.options())
    proxy.plan = listed(KEYS, page=page)
    made_up = S3Store(bucket, **s3_server.options(proxy.address))
    # SeaweedFS orders folder by folder, S3 by whole keys: there, "a b/0" comes before "a/0".
    assert read(made_up) == KEYS == sorted(read(real))
    for prefix in ("a", "ü", "none"):
        assert read(made_up, prefix=prefix) == sorted(read(real, prefix=prefix))
    assert read(made_up, offset="a/3.jpg") == [key for key in KEYS if key > "a/3.jpg"]
    for prefix in (None, "a", "ü"):
        folders, real_folders = obstore.list_with_delimiter(made_up, prefix), obstore.list_with_delimiter(real, prefix)
        assert folders["common_prefixes"] == real_folders["common_prefixes"]
        assert [each["path"] for each in folders["objects"]] == [each["path"] for each in real_folders["objects"]]


def test_objects_are_still_those_of_the_server(s3_server, bucket, proxy):
    s3_server.put(bucket, "real", b"body")
    proxy.plan = listed(["made up"], size=9)
    store = S3Store(bucket, **s3_server.options(proxy.address))
    assert [(each["path"], each["size"]) for page in obstore.list(store) for each in page] == [("made up", 9)]
    assert bytes(obstore.get(store, "real").bytes()) == b"body"
