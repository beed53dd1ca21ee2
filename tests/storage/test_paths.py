"""Functions of `os.path` for paths that may be addresses."""

import os
import posixpath

import hypothesis.strategies as st
import pytest
from hypothesis import given

from bitesize.storage import paths
from tests.storage.memory import memory_storage

TOP = "memory://bucket"
PARTS = st.lists(st.text("ab.%#? [", min_size=1, max_size=3).filter(lambda part: part.strip("/")), min_size=1, max_size=4)
KEYS = st.text("ab/.", min_size=1, max_size=8).filter(lambda key: not key.endswith("/"))


@given(KEYS)
def test_what_is_split_is_joined_again(key):
    address = f"s3://bucket/{key}"
    for path in (address, address.encode()):
        assert paths.join(*paths.split(path)) == path
        assert paths.split(path) == (paths.dirname(path), paths.basename(path))
        assert paths.basename(path)


@given(PARTS)
def test_addresses_are_split_as_paths_are(parts):
    address, path = "/".join(("s3://bucket", *parts)), "/".join(("/bucket", *parts))
    assert paths.basename(address) == posixpath.basename(path)
    assert paths.dirname(address) == posixpath.dirname(path).replace("/bucket", "s3://bucket", 1)
    assert paths.relpath(address, "s3://bucket") == "/".join(parts)
    assert paths.relpath(os.fsencode(address), b"s3://bucket/") == "/".join(parts).encode()


@given(st.lists(PARTS, min_size=1, max_size=4))
def test_the_common_folder_contains_all(keys):
    addresses = ["/".join(("s3://bucket", *parts)) for parts in keys]
    common = paths.commonpath(addresses)
    assert all(f"{address}/".startswith(f"{common}/") for address in addresses)
    assert common == posixpath.commonpath(
        [f"/{address}" for address in ("/".join(("b", *parts)) for parts in keys)]
    ).replace("/b", "s3://bucket", 1) or any("." in parts for parts in keys)


def test_paths_that_have_no_common_folder_are_refused():
    for some in (["s3://a/x", "s3://b/x"], ["s3://a/x", "/a/x"]):
        with pytest.raises(ValueError, match="common"):
            paths.commonpath(some)


def test_an_address_in_a_folder_stands_alone(tmp_path):
    assert paths.join(str(tmp_path), "s3://b/a.jpg") == "s3://b/a.jpg"
    assert paths.join("s3://b/photos", "s3://c/a.jpg") == "s3://c/a.jpg"
    assert paths.join("s3://b/photos/", "a", "b.jpg") == "s3://b/photos/a/b.jpg"
    assert paths.join(b"s3://b/photos", b"") == b"s3://b/photos/"
    assert paths.abspath("s3://b/photos/") == "s3://b/photos"


def test_paths_of_the_disk_are_passed_on(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.txt").write_bytes(b"\xef\xbb\xbf1\r\n2")
    top = str(tmp_path)
    assert sorted(paths.listdir(top)) == ["a"]
    assert list(paths.walk(top)) == list(os.walk(top))
    assert [entry.path for entry in paths.scandir(top)] == [os.path.join(top, "a")]
    assert paths.read_text(tmp_path / "a" / "b.txt") == "1\n2"
    with paths.open_text(tmp_path / "a" / "b.txt") as file:
        assert file.read() == "1\n2"


@pytest.mark.parametrize("listed", [False, True])
def test_questions_have_the_same_answer_with_and_without_a_list(listed):
    storage = memory_storage({"p/a/1.txt": b"one", "p/2.txt": b"", "p/a.txt": b"x"})
    if listed:
        paths.know_folder(f"{TOP}/p")
        storage.requests.clear()
    assert paths.isdir(f"{TOP}/p")
    assert paths.isdir(f"{TOP}/p/a/")
    assert not paths.isdir(f"{TOP}/p/a.txt")
    assert not paths.isdir(f"{TOP}/p/b")
    assert paths.isfile(f"{TOP}/p/a.txt")
    assert not paths.isfile(f"{TOP}/p/a")
    assert paths.exists(f"{TOP}/p/a")
    assert not paths.exists(f"{TOP}/p/b")
    assert paths.getsize(f"{TOP}/p/a/1.txt") == 3
    assert sorted(paths.listdir(f"{TOP}/p")) == ["2.txt", "a", "a.txt"]
    assert sorted((entry.name, entry.is_dir()) for entry in paths.scandir(f"{TOP}/p".encode())) == [
        (b"2.txt", False), (b"a", True), (b"a.txt", False),
    ]  # fmt: skip
    assert [(top, sorted(files)) for top, _, files in paths.walk(f"{TOP}/p")] == [
        (f"{TOP}/p", ["2.txt", "a.txt"]), (f"{TOP}/p/a", ["1.txt"]),
    ]  # fmt: skip
    assert not (listed and storage.requests)
    with paths.open(f"{TOP}/p/a/1.txt") as file:
        assert file.read() == b"one"
    for missing in (f"{TOP}/p/b.txt", f"{TOP}/p/a"):
        with pytest.raises(FileNotFoundError):
            paths.open(missing)
