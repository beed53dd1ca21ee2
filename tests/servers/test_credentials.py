"""Keys expire at a proxy, and an endpoint gives out new ones."""

from __future__ import annotations

import time

import pytest

obstore = pytest.importorskip("obstore")
from obstore.store import S3Store  # noqa: E402

from tests.servers.credentials import TokenServer  # noqa: E402
from tests.servers.s3 import KEYS  # noqa: E402

pytestmark = pytest.mark.remote
KEY = "a b+c%20.jpg"


@pytest.fixture
def connect(s3_server, bucket, proxy):
    """Put one object, and return a function of an endpoint that opens a store with its keys."""
    s3_server.put(bucket, KEY, b"body")

    def connect(tokens: TokenServer) -> S3Store:
        proxy.guard = tokens.check
        options = tokens.options(s3_server.options(proxy.address))
        return S3Store(bucket, **options, retry_config={"max_retries": 0})

    return connect


def read(store) -> bytes:
    return bytes(obstore.get(store, KEY, options={"range": (0, 4)}).bytes())


def test_valid_keys_pass(connect):
    with TokenServer(KEYS) as tokens:
        store = connect(tokens)
        assert [read(store) for _ in range(3)] == [b"body"] * 3
        assert [each["path"] for page in obstore.list(store, prefix="a b") for each in page] == []
        assert [each["path"] for page in obstore.list(store) for each in page] == [KEY]
        obstore.put(store, "new", b"new")
        assert bytes(obstore.get(store, "new").bytes()) == b"new"
        assert tokens.given == 1


def test_obstore_takes_new_keys_long_before_the_old_ones_expire(connect):
    with TokenServer(KEYS, lifetime=60.0, every=0.2) as tokens:
        store = connect(tokens)
        for _ in range(4):
            assert read(store) == b"body"
            time.sleep(0.2)
        assert tokens.given >= 4


def test_obstore_keeps_keys_that_the_server_says_are_expired(connect):
    with TokenServer(KEYS) as tokens:
        store = connect(tokens)
        assert read(store) == b"body"
        tokens.expire()
        for _ in range(2):
            with pytest.raises(obstore.exceptions.GenericError, match="ExpiredToken"):
                read(store)
        assert tokens.given == 1
        assert read(connect(tokens)) == b"body"


def test_keys_expire_earlier_than_the_endpoint_says(connect):
    with TokenServer(KEYS, lifetime=0.5, claimed=3600) as tokens:
        store = connect(tokens)
        assert read(store) == b"body"
        time.sleep(0.6)
        with pytest.raises(obstore.exceptions.GenericError, match="ExpiredToken"):
            read(store)


def test_other_keys_are_refused(s3_server, bucket, proxy, connect):
    with TokenServer(KEYS) as tokens:
        connect(tokens)
        issued = tokens.current()
        right = {
            "access_key_id": issued.key_id,
            "secret_access_key": issued.secret,
            "session_token": issued.token,
        }
        for wrong in ({}, {"access_key_id": "other"}, {"secret_access_key": "other"}, {"session_token": "other"}):
            options = {**s3_server.options(proxy.address), **right, **wrong}
            store = S3Store(bucket, **options, retry_config={"max_retries": 0})
            if wrong:
                with pytest.raises(obstore.exceptions.PermissionDeniedError):
                    read(store)
            else:
                assert read(store) == b"body"
