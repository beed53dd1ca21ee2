"""Settings of connections: what users write, in storage options, profiles and the environment, works or is an error of one line."""

from __future__ import annotations

import socket

import pytest

import bitesize as bs
from bitesize.storage.objects import ObjectStorage
from bitesize.storage.stores import storage_of
from tests.servers.s3 import KEYS

pytestmark = pytest.mark.remote

NAMES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT",
    "AWS_ENDPOINT_URL_S3",
    "AWS_PROFILE",
)
FORMS = (
    ("access_key_id", "secret_access_key", "endpoint"),
    ("aws_access_key_id", "aws_secret_access_key", "aws_endpoint_url"),
)
UPPER = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"


@pytest.fixture(autouse=True)
def files_of_aws(monkeypatch, tmp_path):
    """Let no setting of this machine take part; the default profile has keys of another server."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "credentials"
    file.write_text("[default]\naws_access_key_id = other\naws_secret_access_key = other\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    return file


@pytest.fixture
def closed_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # not listening: connections are refused
        yield taken.getsockname()[1]


@pytest.mark.parametrize("names", [*FORMS, UPPER])
def test_keys_and_endpoint_may_have_the_names_of_the_environment(s3_server, bucket, names):
    s3_server.put(bucket, "x.bin", b"12345")
    values = KEYS.key_id, KEYS.secret, f"http://{s3_server.address}"
    assert ObjectStorage(f"s3://{bucket}", dict(zip(names, values, strict=True))).entry("x.bin").size == 5


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AWS_ENDPOINT_URL_S3"])
def test_an_endpoint_of_the_environment_may_start_with_http(monkeypatch, s3_server, bucket, name):
    s3_server.put(bucket, "x.bin", b"12345")
    monkeypatch.setenv(name, f"http://{s3_server.address}")
    storage = ObjectStorage(f"s3://{bucket}", {"access_key_id": KEYS.key_id, "secret_access_key": KEYS.secret})
    assert storage.entry("x.bin").size == 5


def test_an_endpoint_of_a_profile_may_start_with_http(files_of_aws, s3_server, bucket):
    s3_server.put(bucket, "x.bin", b"12345")
    files_of_aws.write_text(
        f"[lab]\naws_access_key_id = {KEYS.key_id}\naws_secret_access_key = {KEYS.secret}\nendpoint_url = http://{s3_server.address}\n"
    )
    assert ObjectStorage(f"s3://{bucket}", {"profile": "lab"}).entry("x.bin").size == 5


@pytest.mark.parametrize("endpoint", ["localhost:9000", "127.0.0.1:9000", "minio"])
def test_an_endpoint_without_http_is_an_error(monkeypatch, endpoint):
    with pytest.raises(bs.BadSetting, match=r"endpoint of storage_options.* starts with https://"):
        ObjectStorage("s3://bucket", {"endpoint": endpoint})
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(bs.BadSetting, match="AWS_ENDPOINT_URL is no address of a server"):
        storage_of("s3://bucket-of-no-server/x")


@pytest.mark.parametrize("option", ["timeout", "skip_signature", "proxy_url"])
def test_a_value_that_is_refused_is_not_shown(option):
    with pytest.raises(bs.BadSetting, match="cannot be opened with these storage_options") as caught:
        ObjectStorage("s3://bucket", {option: "hunter2:@:2"})
    assert "hunter2" not in str(caught.value)
    assert "Debug" not in str(caught.value)


@pytest.mark.parametrize("deadline", ["soon", 0, -1, "nan"])
def test_a_deadline_is_a_number_of_seconds(deadline):
    with pytest.raises(bs.BadSetting, match="deadline in storage_options is a number of seconds"):
        ObjectStorage("s3://bucket", {"deadline": deadline})


def test_a_server_that_refuses_connections_is_named_without_password(closed_port):
    options = {"endpoint": f"http://user:hunter2@127.0.0.1:{closed_port}", "anonymous": True, "deadline": 0.3}
    server = rf"s3://bucket/x\.bin: no connection to http://127\.0\.0\.1:{closed_port} \(.*refused.*; check the endpoint"
    with pytest.raises(bs.RequestFailed, match=server) as caught:
        ObjectStorage("s3://bucket", options).entry("x.bin")
    assert "hunter2" not in str(caught.value)


def test_a_server_that_does_not_answer_is_reported_before_the_deadline(closed_port, caplog, monkeypatch):
    monkeypatch.setattr("bitesize.storage.limiter.LIMITER._said", float("-inf"))
    storage = ObjectStorage("s3://bucket", {"endpoint": f"http://127.0.0.1:{closed_port}", "anonymous": True, "deadline": 8})
    for _ in range(2):
        with pytest.raises(bs.RequestFailed):
            storage.entry("x.bin")
    said = [record.message for record in caplog.records if "trying again, for up to 8 s" in record.message]
    assert len(said) == 1
    assert f"http://127.0.0.1:{closed_port}" in said[0]


def test_an_endpoint_that_is_no_address_is_an_error():
    with pytest.raises(bs.RequestFailed, match="the request cannot be sent"):
        ObjectStorage("s3://bucket", {"endpoint": "http://[", "anonymous": True}).entry("x.bin")
