"""Tables and inventories in place of listing."""

from __future__ import annotations

import gzip
import json
import logging
from urllib.parse import quote_plus

import pytest

from bitesize.errors import BadFile, BadSetting, NotFound, UnsupportedFile
from bitesize.storage import remote, stores
from bitesize.storage.base import Entry
from bitesize.storage.lists import list_folder
from bitesize.storage.local import LocalStorage

HEX = "0af3" * 8
TOP = "shelf://bucket/photos/"
KEYS = ["photos/cat/1.jpg", "photos/a b+c%41.jpg", 'photos/é,"x".jpg']


@pytest.fixture
def storage(tmp_path, monkeypatch):
    (tmp_path / "shelf").mkdir()
    found = LocalStorage(tmp_path / "shelf", "shelf://bucket")
    monkeypatch.setattr(stores, "_openers", {**stores._openers, "shelf": lambda root, options: found})
    for name in ("_storages", "_lists"):
        monkeypatch.setattr(stores, name, {})
    monkeypatch.setattr(remote, "_entries", {})
    return found


@pytest.fixture
def opened(tmp_path, storage):
    def open_list(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return list_folder(TOP, listing=path, folder=tmp_path / "lists")

    return open_list


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("list.csv", f"key,size,etag\nphotos/cat/1.jpg,5,{HEX}\n"),
        ("list.csv", f"url,Size,ETag\r\n{TOP}cat/1.jpg,5,{HEX}\r\n"),
        ("list.csv", f"label,path,size,etag\n1,cat/1.jpg,5,{HEX}\n"),
        ("list.tsv", f"path\tsize\tetag\ncat/1.jpg\t5\t{HEX}\n"),
        ("list.csv.gz", gzip.compress(f"path,size,etag\ncat/1.jpg,5,{HEX}\n".encode(), mtime=0)),
        ("list.jsonl", json.dumps({"file_name": "cat/1.jpg", "size": 5, "etag": HEX}) + "\n\n"),
    ],
)
def test_a_table_names_the_objects(opened, name, content):
    found = opened(name, content)
    assert [found.object(i) for i in range(len(found))] == [Entry("photos/cat/1.jpg", 5, f'"{HEX}"')]


def test_keys_of_tables_are_taken_as_written(opened):
    found = opened("list.csv", "key\nphotos/a%20b+c.jpg\n")
    assert found.object(0).key == "photos/a%20b+c.jpg"


def test_a_parquet_table_names_the_objects(opened, tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.table({"key": KEYS, "size": [1, 2, None]}), tmp_path / "list.parquet")
    found = opened("list.parquet", (tmp_path / "list.parquet").read_bytes())
    assert {found.object(i).key: found.object(i).size for i in range(3)} == dict(zip(KEYS, [1, 2, -1], strict=True))


def test_sizes_that_are_missing_are_asked_for(opened, storage):
    written = storage.write("photos/cat/1.jpg", [b"12345"])
    found = opened("list.csv", "path\ncat/1.jpg\n")
    assert found.entry("photos/cat/1.jpg").size == -1
    assert found.unknown == 1
    assert remote.entry(f"{TOP}cat/1.jpg") == written
    assert "list of 1 object from" in found.statement()
    assert "1 of unknown size, not compared with the storage" in found.statement()


def test_objects_elsewhere_are_left_out_with_a_warning(opened, caplog):
    found = opened("list.csv", "url\nshelf://other/photos/1.jpg\nshelf://bucket/x.jpg\nshelf://bucket/photos/2.jpg\n")
    assert [found.object(i).key for i in range(len(found))] == ["photos/2.jpg"]
    assert "2 objects that are not below shelf://bucket/photos/ are left out" in caplog.text


def test_a_changed_table_makes_another_list(opened):
    assert len(opened("list.csv", "path\na.jpg\n")) == 1
    assert len(opened("list.csv", "path\na.jpg\nb.jpg\n")) == 2


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("list.csv", "image,size\na,1\n", BadFile, "has no column of names: it needs url, key or path, and has image, size"),
        ("list.csv", "url\na.jpg\n", BadFile, "is no address such as"),
        ("list.csv", "path,size\na.jpg,big\n", BadFile, "'big' is no size in bytes"),
        ("list.csv", "path,size\n,1\n", BadFile, "is no name of an object"),
        ("list.csv", b"path\n\xff\xfe\n", BadFile, "no text"),
        ("list.csv.gz", b"path\n", BadFile, "damaged"),
        ("list.jsonl", "[1]\n", BadFile, "line 1 is no JSON object"),
        ("list.jsonl", "{\n", BadFile, "line 1 is no JSON"),
        ("list.csv", "key\nother/a.jpg\n", NotFound, "names no object below shelf://bucket/photos/"),
        ("list.csv", "", NotFound, "names no object below"),
        ("list.txt", "a.jpg\n", BadSetting, "listing must be"),
        ("manifest.json", "{}", BadFile, "is no manifest of an S3 inventory"),
        ("manifest.json", "no", BadFile, "is no manifest of an S3 inventory"),
    ],
)
def test_what_is_no_list_is_named(opened, name, content, error, message):
    with pytest.raises(error, match=message):
        opened(name, content)


def test_a_file_that_does_not_exist_is_named(tmp_path, storage):
    with pytest.raises(NotFound, match="listing= names the file that lists the objects of shelf"):
        list_folder(TOP, listing=tmp_path / "none.csv", folder=tmp_path / "lists")


SCHEMA = "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag"


def inventory(folder, parts, form="CSV", schema=SCHEMA):
    for name, content in parts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    files = [{"key": f"inventories/{name}", "size": len(content), "MD5checksum": "x"} for name, content in parts.items()]
    return json.dumps({"sourceBucket": "bucket", "fileFormat": form, "fileSchema": schema, "files": files})


def row(key, size=7, latest="true", deleted="false", bucket="bucket"):
    return (
        f'"{bucket}","{quote_plus(key, safe="/")}","v","{latest}","{deleted}","{size}","2026-01-02T03:04:05.000Z","{HEX}"\n'
    )


def test_an_inventory_names_the_objects(opened, tmp_path):
    lines = [
        *map(row, KEYS),
        row("photos/old.jpg", latest="false"),
        row("photos/gone.jpg", 0, deleted="true"),
        row("other.jpg"),
    ]
    packed = {f"data/{i}.csv.gz": gzip.compress("".join(lines[i::2]).encode()) for i in range(2)}
    found = opened("manifest.json", inventory(tmp_path, packed))
    assert {found.object(i).key for i in range(len(found))} == set(KEYS)
    assert found.entry(KEYS[1]) == Entry(KEYS[1], 7, f'"{HEX}"', 1_767_323_045_000_000_000)


def test_keys_of_inventories_are_decoded_once(opened, tmp_path):
    found = opened("manifest.json", inventory(tmp_path, {"1.csv": row("photos/a%2520.jpg").encode()}))
    assert found.object(0).key == "photos/a%2520.jpg"


def test_an_inventory_in_parquet_has_plain_keys(opened, tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.table({"bucket": ["bucket"] * 3, "key": KEYS, "size": [1, 2, 3], "e_tag": [HEX] * 3}), tmp_path / "p")
    found = opened("manifest.json", inventory(tmp_path, {"1.parquet": (tmp_path / "p").read_bytes()}, "Parquet"))
    assert found.entry(KEYS[1]) == Entry(KEYS[1], 2, f'"{HEX}"')


def test_an_inventory_at_an_address_is_read_from_there(storage, tmp_path):
    content = row("photos/1.jpg").encode()
    storage.write("inventories/data/1.csv", [content])
    storage.write("inventories/config/manifest.json", [inventory(tmp_path, {"data/1.csv": content}).encode()])
    found = list_folder(TOP, listing="shelf://bucket/inventories/config/manifest.json", folder=tmp_path / "lists")
    assert found.object(0).key == "photos/1.jpg"


def test_a_part_of_another_size_or_none_is_named(opened, tmp_path):
    text = inventory(tmp_path, {"1.csv": row("photos/1.jpg").encode()})
    (tmp_path / "1.csv").write_bytes(b"short")
    with pytest.raises(BadFile, match="has 5 bytes"):
        opened("manifest.json", text)
    (tmp_path / "1.csv").unlink()
    with pytest.raises(NotFound, match="copy the files of the inventory next to it"):
        opened("manifest.json", text)
    with pytest.raises(UnsupportedFile, match="ORC"):
        opened("manifest.json", inventory(tmp_path, {}, "ORC"))


def test_a_line_that_is_no_object_is_named(opened, tmp_path):
    with pytest.raises(BadFile, match="2 values in place of 8"):
        opened("manifest.json", inventory(tmp_path, {"1.csv": b"bucket,key\n"}))
    with pytest.raises(BadFile, match="is no object"):
        opened("manifest.json", inventory(tmp_path, {"1.csv": row("photos/1.jpg", "big").encode()}))


def test_a_warning_is_given_for_other_buckets(opened, tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "bitesize"):
        opened("manifest.json", inventory(tmp_path, {"1.csv": (row("photos/1.jpg") + row("x.jpg")).encode()}))
    assert "1 objects that are not below" in caplog.text
