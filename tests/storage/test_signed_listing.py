"""A bucket of S3 with names that obstore refuses is listed in another way, and its other objects open."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import bitesize as bs
from bitesize.storage import lists
from bitesize.storage.connect import Connector
from bitesize.storage.objects import ObjectStorage
from bitesize.storage.signed_listing import signed_page
from tests.servers import faults
from tests.servers.listing import listed

pytestmark = pytest.mark.remote
pytest.importorskip("obstore")
REFUSED = ["//x.png", "/y.png", "cats//1.png", "cats/../2.png", "cats/./3.png", "dogs/deep//4.png"]
GOOD = ["cats/1.png", "cats/2.png", "dogs/deep/3.png", "dogs/a b+ü.png"]


@pytest.fixture(autouse=True)
def own_lists(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def storage(s3_server, bucket, proxy):
    """Return a storage whose listings the proxy makes up."""
    proxy.plan = listed(sorted(GOOD + REFUSED), size=5)
    return ObjectStorage(f"s3://{bucket}", {**s3_server.options(proxy.address), "deadline": 5})


def keys_of(storage, prefix=""):
    return sorted(entry.key for page in storage.list(prefix) for entry in page)


def test_the_other_objects_open_and_those_are_counted(s3_server, bucket, proxy):
    file = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), 99, np.uint8)).save(file, "png")
    content = file.getvalue()
    for key in GOOD:
        s3_server.put(bucket, key, content)
    made_up, etag = listed(sorted(GOOD + REFUSED), size=len(content)), hashlib.md5(content).hexdigest().encode()

    def plan(request):
        answer = made_up(request)
        return answer and replace(answer, body=answer.body.replace(b"0" * 32, etag))

    proxy.plan = plan
    source = bs.open(f"s3://{bucket}", storage_options=s3_server.options(proxy.address))
    assert (len(source), source.classes) == (4, ("cats", "dogs"))
    reason = "names with empty parts, or . or .. as parts, which cannot be requested"
    assert source.left_out[reason] == len(REFUSED)
    assert any("listed 4 objects" in str(choice) and f"6 more have {reason}" in str(choice) for choice in source.choices)
    with bs.Loader(source, batch_size=4, memory="32 MiB") as loader:
        assert [batch["x"].mean() for batch in loader] == [99]


@pytest.mark.parametrize("page", [1, 2, 1000])
def test_it_is_the_list_of_the_server(page, storage, proxy):
    proxy.plan = listed(sorted(GOOD + REFUSED), page=page)
    assert keys_of(storage) == sorted(GOOD + REFUSED)
    for prefix in ("cats/", "cats//", "dogs/", "dogs/deep//", "/", "c", "none/"):
        assert keys_of(storage, prefix) == sorted(key for key in GOOD + REFUSED if key.startswith(prefix))
    level = storage.level("cats/")
    assert sorted(level.folders) == ["cats/../", "cats/./", "cats//"]
    assert [entry.key for entry in level.entries] == ["cats/1.png", "cats/2.png"]


def test_a_list_that_several_threads_make_leaves_them_out(storage, s3_server, bucket, proxy):
    good = [f"{folder}/{number}.png" for folder in "abcde" for number in range(2400)]
    refused = [f"{folder}//{number}.png" for folder in "ace" for number in range(7)]
    proxy.plan = listed(sorted(good + refused))
    bs.storage.stores.configure(f"s3://{bucket}", s3_server.options(proxy.address))
    found = lists.list_folder(f"s3://{bucket}")
    assert (len(found), found.facts["refused"]) == (len(good), len(refused))


def test_the_signature_holds_for_names_with_any_signs(s3_server, bucket):
    for key in GOOD:
        s3_server.put(bucket, key, b"body")
    options = s3_server.options()
    storage, connector = ObjectStorage(f"s3://{bucket}", options), Connector(f"s3://{bucket}", options)
    for prefix in ("", "dogs/a b+ü", "dogs/"):
        page = signed_page(connector, prefix)
        assert sorted(page.entries) == sorted(entry for some in storage.list(prefix) for entry in some)
    assert sorted(signed_page(connector, "dogs/", deep=False).folders) == sorted(storage.level("dogs/").folders)


def test_anonymous_requests_have_no_signature(s3_server, bucket, proxy):
    made_up, seen = listed(sorted(GOOD + REFUSED)), []

    def plan(request):
        seen.append(request)
        return made_up(request)

    proxy.plan = plan
    options = {name: value for name, value in s3_server.options(proxy.address).items() if "key" not in name}
    assert keys_of(ObjectStorage(f"s3://{bucket}", {**options, "anonymous": True})) == sorted(GOOD + REFUSED)
    assert len(seen) == 2
    assert all("X-Amz-Signature" not in each.query and "authorization" not in each.headers for each in seen)


def signed_fails(fault, times, proxy):
    """Plan a fault for the requests of our own."""
    made_up, fails = listed(sorted(GOOD + REFUSED)), faults.where(lambda each: "X-Amz-Signature" in each.query, fault, times)
    proxy.plan = lambda request: fails(request) or made_up(request)


@pytest.mark.parametrize(
    "fault", [faults.slow_down(), faults.garbage(), faults.reset(), faults.cut(100)], ids=lambda each: each.kind
)
def test_failed_requests_are_repeated(fault, storage, proxy):
    signed_fails(fault, 1, proxy)
    assert keys_of(storage) == sorted(GOOD + REFUSED)


def test_a_refusal_of_the_server_is_an_error(storage, proxy):
    signed_fails(faults.access_denied(), None, proxy)
    with pytest.raises(bs.NoPermission, match="403 AccessDenied"):
        keys_of(storage)


@given(st.text("a./", min_size=1, max_size=8))
def test_names_with_such_parts_are_refused(key):
    refused = any(part in ("", ".", "..") for part in key.removesuffix("/").split("/"))
    assert ObjectStorage.refuses(None, key) == refused


def test_they_are_left_out_of_a_given_list_too(s3_server, bucket, tmp_path):
    (tmp_path / "names.csv").write_text("\n".join(["key", *GOOD, *REFUSED]), encoding="utf-8")
    bs.storage.stores.configure(f"s3://{bucket}", s3_server.options())
    found = lists.list_folder(f"s3://{bucket}/", listing=tmp_path / "names.csv")
    assert sorted(found.object(i).key for i in range(len(found))) == sorted(GOOD)
    assert found.facts["refused"] == len(REFUSED)
