"""The S3 server holds keys unchanged, and answers obstore."""

from __future__ import annotations

import pytest

obstore = pytest.importorskip("obstore")
from obstore.store import S3Store  # noqa: E402

pytestmark = pytest.mark.remote
ODD = ["a b.jpg", "a%20b.jpg", "a+b.jpg", "ümläut/日本.jpg", "q?x#y&z=1.jpg", "star*~:.jpg", "trail /x"]


@pytest.fixture
def connect(s3_server, bucket):
    """A store keeps connections as long as it lives: a test makes its own, which ends before descriptors are counted."""
    return lambda: S3Store(bucket, **s3_server.options())


def listed(store) -> dict[str, int]:
    return {each["path"]: each["size"] for page in obstore.list(store) for each in page}


def test_odd_keys_are_put_listed_and_read_unchanged(s3_server, bucket, connect):
    store = connect()
    for key in ODD:
        s3_server.put(bucket, key, key.encode())
    assert listed(store) == {key: len(key.encode()) for key in ODD}
    for key in ODD:
        assert bytes(obstore.get(store, key).bytes()) == key.encode()


def test_what_obstore_writes_has_the_same_keys(s3_server, bucket, connect):
    store = connect()
    for key in ODD:
        obstore.put(store, key, key.encode())
    again = s3_server.make_bucket()
    for key in ODD:
        s3_server.put(again, key, key.encode())
    assert s3_server.keys(bucket) == s3_server.keys(again) == sorted(ODD, key=str.encode)


def test_a_folder_marker_is_an_object_whose_slash_obstore_drops(s3_server, bucket, connect):
    store = connect()
    s3_server.put(bucket, "folder/")
    assert s3_server.keys(bucket) == ["folder/"]
    assert listed(store) == {"folder": 0}
    with pytest.raises(FileNotFoundError):
        obstore.get(store, "folder")


def test_a_folder_of_files(s3_server, bucket, connect, tmp_path):
    store = connect()
    (tmp_path / "cats").mkdir()
    (tmp_path / "cats" / "1.bin").write_bytes(b"one")
    (tmp_path / "2.bin").write_bytes(b"two")
    s3_server.put_folder(bucket, tmp_path, "data/")
    assert listed(store) == {"data/2.bin": 3, "data/cats/1.bin": 3}


def test_ranges_and_conditions(s3_server, bucket, connect):
    store = connect()
    s3_server.put(bucket, "x", bytes(range(100)))
    etag = obstore.head(store, "x")["e_tag"]
    got = obstore.get(store, "x", options={"range": (10, 20), "if_match": etag})
    assert bytes(got.bytes()) == bytes(range(10, 20))
    s3_server.put(bucket, "x", b"another")
    with pytest.raises(obstore.exceptions.PreconditionError):
        obstore.get(store, "x", options={"if_match": etag})
    s3_server.delete(bucket, "x")
    with pytest.raises(FileNotFoundError):
        obstore.get(store, "x")


def test_a_wrong_secret_is_refused(s3_server, bucket):
    store = S3Store(bucket, **{**s3_server.options(), "secret_access_key": "another"})
    with pytest.raises(obstore.exceptions.PermissionDeniedError):
        obstore.get(store, "x")


def test_listings_have_pages(s3_server, bucket):
    for number in range(5):
        s3_server.put(bucket, f"{number}", b"-")
    status, _, body = s3_server.request("GET", f"/{bucket}", "list-type=2&max-keys=2")
    assert status == 200
    assert body.count(b"<Key>") == 2
    assert b"<NextContinuationToken>" in body
