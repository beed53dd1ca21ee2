"""Every kind of storage passes the checks that storages of users must pass."""

from __future__ import annotations

import urllib.parse

import pytest

import bitesize as bs
from bitesize.storage.local import LocalStorage
from bitesize.storage.objects import ObjectStorage
from bitesize.testing import check_storage
from bitesize.testing.storages import NAMES


def test_a_folder(tmp_path):
    check_storage(LocalStorage(tmp_path))


@pytest.mark.remote
def test_s3(s3_server, bucket):
    check_storage(ObjectStorage(f"s3://{bucket}", s3_server.options()))


@pytest.mark.remote
def test_google_cloud_storage(gcs_server):
    check_storage(ObjectStorage(f"gs://{gcs_server.make_bucket()}", gcs_server.options()))


@pytest.mark.remote
def test_azure(azure_server):
    check_storage(ObjectStorage(f"az://{azure_server.make_container()}", azure_server.options()))


QUOTED = [urllib.parse.quote(name) for name in NAMES]


def served(server):
    """Return the storage of a web server, and the arguments of its check."""

    def put(key: str, data: bytes) -> None:
        path = server.folder / urllib.parse.unquote(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    return ObjectStorage(server.url, server.options()), {"put": put, "lists": False, "names": QUOTED}


@pytest.mark.remote
def test_a_web_server(http_server):
    storage, how = served(http_server)
    check_storage(storage, **how)


@pytest.mark.remote
def test_a_web_server_without_ranges_is_read_whole(http_server_without_ranges, caplog):
    storage, how = served(http_server_without_ranges)
    check_storage(storage, **how)
    assert "does not answer requests for ranges" in caplog.text


@pytest.mark.remote
def test_a_web_server_cannot_be_listed_or_written(http_server):
    storage, _ = served(http_server)
    with pytest.raises(bs.BadSetting, match="cannot be listed"):
        list(storage.list(""))
    with pytest.raises(bs.BadSetting, match="cannot be written"):
        storage.write("x.bin", [b""])
