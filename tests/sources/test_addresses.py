"""Data at addresses: keys as they are, one list for each folder, options of storages, and errors that name addresses."""

import io
import json
import logging
import pathlib

import numpy as np
import pytest
from PIL import Image
from tests.storage.memory import memory_storage

import bitesize as bs
from bitesize.files.names import common_folder
from bitesize.memory.sizes import format_size
from bitesize.sources.open_to_train import open_splits, open_to_train

TOP = "memory://bucket"
ODD = [
    "a b.jpg",
    "a%20b.jpg",
    "a+b.jpg",
    "a#b.jpg",
    "a?b.jpg",
    "[1].jpg",
    "{x}.jpg",
    "ü.jpg",
    "é.jpg",
    "a\\b.jpg",
    "~.jpg",
    "a=b&c.jpg",
    "猫.jpg",
]


def jpeg(value=100):
    file = io.BytesIO()
    Image.new("RGB", (4, 4), (value,) * 3).save(file, "JPEG")
    return file.getvalue()


def npy(values):
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


JPEG = jpeg()


@pytest.fixture(autouse=True)
def own_cache_folder(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def names_of(source):
    return [source.describe(row) for row in range(len(source))]


def test_keys_are_taken_as_they_are():
    memory_storage({f"odd names/{name}": JPEG for name in ODD})
    source = bs.open(f"{TOP}/odd names/")
    assert sorted(names_of(source)) == sorted(f"{TOP}/odd names/{name}" for name in ODD)


@pytest.mark.parametrize("name", ODD)
def test_an_object_with_an_odd_name_is_opened_by_its_address(name):
    memory_storage({name: jpeg(i) for i, name in enumerate(ODD)})
    assert names_of(bs.open(f"{TOP}/{name}")) == [f"{TOP}/{name}"]


@pytest.mark.parametrize("name", ODD)
def test_a_class_folder_may_have_an_odd_name(name):
    memory_storage({f"photos/{name}/1.jpg": JPEG, "photos/zebra/1.jpg": JPEG})
    assert set(bs.open(f"{TOP}/photos").classes) == {name, "zebra"}


def test_empty_parts_of_keys_are_kept():
    keys = ["photos/cat/1.jpg", "photos/cat//2.jpg", "photos//dog/3.jpg", "photos///4.jpg"]
    memory_storage(dict.fromkeys([*keys, "/photos/1.jpg"], JPEG))
    source = bs.open(f"{TOP}/photos", labels=False)
    assert sorted(names_of(source)) == sorted(f"{TOP}/{key}" for key in keys)
    assert names_of(bs.open(f"{TOP}//photos")) == [f"{TOP}//photos/1.jpg"]
    assert names_of(bs.open([f"{TOP}/{key}" for key in keys])) == [f"{TOP}/{key}" for key in keys]


def test_an_address_of_no_folder_is_refused():
    memory_storage({"photos//1.jpg": JPEG})
    with pytest.raises(bs.BadSetting, match="several slashes"):
        bs.open(f"{TOP}/photos//")


def test_objects_that_stand_for_folders_are_counted():
    keys = ["photos/", "photos/cat/", "photos/dog", "photos/empty/", "other/"]
    memory_storage(dict.fromkeys(keys, b"") | {"photos/cat/1.jpg": JPEG, "photos/dog/1.jpg": JPEG})
    source = bs.open(f"{TOP}/photos")
    assert source.classes == ("cat", "dog")
    assert dict(source.left_out) == {"empty objects that stand for folders": 4}


def test_an_object_may_have_the_name_of_a_folder():
    memory_storage({"photos/cat.jpg": JPEG, "photos/cat.jpg/1.jpg": JPEG, "photos/cat.jpg/2.jpg": JPEG})
    assert len(bs.open(f"{TOP}/photos", labels=False)) == 3


def test_an_empty_object_with_the_name_of_a_folder_stands_for_it():
    memory_storage({"photos": b"", "photos/cat/1.jpg": JPEG, "photos/dog/1.jpg": JPEG})
    assert bs.open(f"{TOP}/photos").classes == ("cat", "dog")


def test_an_object_wins_over_a_folder_of_its_name():
    memory_storage({"a.npy": npy(np.zeros(3)), "a.npy/1.jpg": JPEG})
    assert len(bs.open(f"{TOP}/a.npy")) == 3
    assert len(bs.open(f"{TOP}/a.npy/")) == 1


def test_a_folder_is_listed_once(caplog):
    storage = memory_storage({f"photos/{name}/{i}.jpg": JPEG for name in ("cat", "dog", "runs") for i in range(20)})
    with caplog.at_level(logging.INFO, "bitesize"):
        source = bs.open(f"{TOP}/photos/")
    assert dict(storage.requests) == {"list": 1}
    said = f"listed 60 objects ({format_size(60 * len(JPEG))}) below {TOP}/photos/"
    assert said in caplog.text
    assert source.choices[-1].chosen == said


def test_folders_of_runs_and_stores_are_known_from_the_list():
    store = json.dumps({"format": "bitesize store"}).encode()
    storage = memory_storage(
        {f"photos/{name}/1.jpg": JPEG for name in ("cat", "dog")}
        | {"photos/run/config.json": b"{}", "photos/run/history.csv": b"", "photos/packed/manifest.json": store}
    )
    source = bs.open(f"{TOP}/photos/")
    assert dict(source.left_out) == {"folders of training runs": 1, "folders of packed stores": 1}
    assert storage.requests["list"] == 1
    assert storage.requests["read"] == 1  # the manifest
    assert storage.requests["entry"] == storage.requests["level"] == 0


def test_a_single_object_is_opened_with_one_question():
    storage = memory_storage({"photos/1.jpg": JPEG})
    bs.open(f"{TOP}/photos/1.jpg")
    assert dict(storage.requests) == {"entry": 1}


def test_listed_objects_are_asked_for_once():
    storage = memory_storage({f"photos/{i}.jpg": JPEG for i in range(50)})
    bs.open([f"{TOP}/photos/{i}.jpg" for i in range(50)])
    assert dict(storage.requests) == {"entry": 50}


def test_splits_share_one_list():
    keys = [
        f"data/{split}/{name}/{i}.jpg" for split in ("train", "val", "test") for name in ("cat", "dog") for i in range(3)
    ]
    storage = memory_storage(dict.fromkeys(keys, JPEG))
    parts, damaged = open_splits(f"{TOP}/data/")
    assert [*parts] == ["train", "val", "test"]
    assert not damaged
    assert dict(storage.requests) == {"list": 1}


def test_data_is_listed_again_when_it_is_opened_again():
    storage = memory_storage({"photos/1.jpg": JPEG})
    assert len(bs.open(f"{TOP}/photos/")) == 1
    storage.objects["photos/2.jpg"] = JPEG
    assert len(bs.open(f"{TOP}/photos/")) == 2
    storage.objects["photos/3.jpg"] = JPEG
    assert len(bs.open(f"{TOP}/photos/3.jpg")) == 1
    del storage.objects["photos/3.jpg"]
    with pytest.raises(bs.NotFound):
        bs.open(f"{TOP}/photos/3.jpg")


def test_patterns_match_objects():
    memory_storage(dict.fromkeys(["p/a/1.jpg", "p/a/b/2.jpg", "p/10.jpg", "p/9.jpg", "p/.hidden/3.jpg", "p/x.txt"], JPEG))
    assert names_of(bs.open(f"{TOP}/p/**/*.jpg")) == [
        f"{TOP}/p/{key}" for key in ("9.jpg", "10.jpg", "a/1.jpg", "a/b/2.jpg")
    ]
    assert names_of(bs.open(f"{TOP}/p/?.jpg")) == [f"{TOP}/p/9.jpg"]
    assert names_of(bs.open(f"{TOP}/*/a/[0-9].jpg")) == [f"{TOP}/p/a/1.jpg"]
    with pytest.raises(bs.NotFound, match="no file matches"):
        bs.open(f"{TOP}/p/*.png")
    with pytest.raises(bs.NotFound, match="matches folders only"):
        bs.open(f"{TOP}/p/a*")


def test_a_name_with_brackets_wins_over_a_pattern():
    memory_storage(dict.fromkeys(["p[1]/1.jpg", "p1/2.jpg", "p[1]/[a].jpg"], JPEG))
    assert names_of(bs.open(f"{TOP}/p[1]/[a].jpg")) == [f"{TOP}/p[1]/[a].jpg"]
    assert names_of(bs.open(f"{TOP}/p[1]/*.jpg")) == [f"{TOP}/p[1]/1.jpg", f"{TOP}/p[1]/[a].jpg"]


def test_a_table_on_disk_names_addresses(tmp_path):
    storage = memory_storage({f"deep/{i}.jpg": JPEG for i in range(30)})
    lines = [f"{TOP}/deep/{i}.jpg,{'ab'[i % 2]}" for i in range(30)]
    (tmp_path / "t.csv").write_text("\n".join(["path,label", *lines]), encoding="utf-8")
    source = bs.open(tmp_path / "t.csv", storage_options={"region": "x"})
    assert names_of(source) == [line.rpartition(",")[0] for line in lines]
    assert dict(storage.requests) == {"entry": 30}
    assert storage.options == {"region": "x"}


def test_a_table_of_addresses_in_a_bucket_is_opened_without_a_list():
    lines = [f"{TOP}/deep/{i}.jpg,{'ab'[i % 2]}" for i in range(30)]
    table = "\n".join(["path,label", *lines]).encode()
    storage = memory_storage({"t.csv": table, **{f"deep/{i}.jpg": JPEG for i in range(30)}})
    source = bs.open(f"{TOP}/t.csv")
    assert names_of(source) == [line.rpartition(",")[0] for line in lines]
    assert storage.requests["list"] == 0


def test_paths_in_a_table_are_relative_to_its_folder():
    storage = memory_storage(
        {"data/t.csv": b"path,label\nimages/1.jpg,a\nimages/2.jpg,b\n", "data/images/1.jpg": JPEG, "data/images/2.jpg": JPEG}
    )
    source = bs.open(f"{TOP}/data/t.csv")
    assert names_of(source) == [f"{TOP}/data/images/1.jpg", f"{TOP}/data/images/2.jpg"]
    assert source.classes == ("a", "b")
    assert storage.requests["list"] == 1


def test_missing_files_of_a_table_are_named_with_what_is_there():
    memory_storage({"data/t.csv": b"path,label\na.JPG,a\n", "data/a.jpg": JPEG})
    with pytest.raises(bs.NotFound, match=rf"1 files of {TOP}/data/t.csv do not exist.*{TOP}/data/a.jpg exists"):
        bs.open(f"{TOP}/data/t.csv")
    memory_storage({"a.jpg": JPEG})
    with pytest.raises(bs.NotFound, match=rf"{TOP}/b.jpg does not exist"):
        bs.open([f"{TOP}/a.jpg", f"{TOP}/b.jpg"])


def test_labels_may_be_at_another_address(tmp_path):
    memory_storage({"photos/1.jpg": JPEG, "photos/2.jpg": JPEG, "tables/t.csv": b"path,label\n1.jpg,a\n2.jpg,b\n"})
    source = bs.open(f"{TOP}/photos/", labels=f"{TOP}/tables/t.csv")
    assert (len(source), source.classes) == (2, ("a", "b"))
    for name in ("1.jpg", "2.jpg"):
        (tmp_path / name).write_bytes(JPEG)
    assert bs.open(tmp_path, labels=f"{TOP}/tables/t.csv").classes == ("a", "b")


def test_labels_in_a_npy_file_are_read():
    memory_storage({"photos/1.jpg": JPEG, "photos/2.jpg": JPEG, "y.npy": npy(np.array([3, 4]))})
    assert bs.open(f"{TOP}/photos/", labels=f"{TOP}/y.npy").labels.tolist() == [3, 4]


def test_classes_may_be_folders_at_addresses():
    memory_storage({"a/1.jpg": JPEG, "b/1.jpg": JPEG, "b/2.jpg": JPEG})
    source = bs.open({"cat": f"{TOP}/a/", "dog": f"{TOP}/b"})
    assert (source.classes, source.labels.tolist()) == (("cat", "dog"), [0, 1, 1])
    listed = bs.open({"cat": [f"{TOP}/a/1.jpg"], "dog": [f"{TOP}/b/1.jpg", f"{TOP}/b/2.jpg"]})
    assert listed.fingerprint() == source.fingerprint()


def test_the_fingerprint_is_that_of_the_same_folder(tmp_path):
    keys = [f"{name}/deep/{i}.jpg" for name in ("cat", "dog") for i in range(3)]
    memory_storage({f"some/where/{key}": JPEG for key in keys} | dict.fromkeys(keys, JPEG))
    for key in keys:
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(JPEG)
    expected = bs.open(tmp_path).fingerprint()
    assert bs.open(f"{TOP}/some/where").fingerprint() == expected
    assert bs.open(TOP).fingerprint() != expected  # it has the objects of both
    listed = bs.open([f"{TOP}/some/where/{key}" for key in keys], [0, 0, 0, 1, 1, 1])
    assert listed.fingerprint() == bs.open([tmp_path / key for key in keys], [0, 0, 0, 1, 1, 1]).fingerprint()


def test_groups_are_the_folders_of_addresses():
    memory_storage({f"photos/{name}/p{i % 3}/{i}.jpg": JPEG for name in ("cat", "dog") for i in range(9)})
    train, test = bs.open(f"{TOP}/photos/").split(0.7, 0.3, by="folder")
    folders = [{name.rpartition("/")[0] for name in names_of(part)} for part in (train, test)]
    assert not folders[0] & folders[1]


def test_options_reach_the_storage():
    storage = memory_storage({"1.jpg": JPEG})
    open_to_train(f"{TOP}/1.jpg", storage_options={"anonymous": True})
    assert storage.options == {"anonymous": True}


def test_options_without_an_address_are_refused(tmp_path):
    (tmp_path / "1.jpg").write_bytes(JPEG)
    for data in (tmp_path, np.zeros((3, 2)), bs.open(np.zeros((3, 2)))):
        with pytest.raises(bs.BadSetting, match="storage_options"):
            bs.open(data, storage_options={"region": "x"})


def test_an_unknown_scheme_is_refused():
    with pytest.raises((bs.BadSetting, bs.MissingPackage), match="nothing://"):
        bs.open("nothing://host/photos/")


@pytest.mark.parametrize(
    ("written", "known"), [("s3a", "s3"), ("s3n", "s3"), ("gcs", "gs"), ("abfs", "az"), ("azure", "az")]
)
def test_names_that_other_programs_have_for_a_scheme_are_answered_with_ours(written, known):
    with pytest.raises(bs.BadSetting, match=f"write {known}://bucket in place of {written}://"):
        bs.open(f"{written}://bucket/photos/")


def test_what_is_beside_a_missing_object_is_named():
    memory_storage({"photos/1.jpg": JPEG, "tables/t.csv": b""})
    with pytest.raises(bs.NotFound, match=rf"{TOP}/fotos does not exist: {TOP}/ has photos/, tables/"):
        bs.open(f"{TOP}/fotos")


def test_an_address_that_pathlib_has_shortened_is_explained():
    with pytest.raises(bs.NotFound, match="pathlib"):
        bs.open(pathlib.PurePosixPath("s3://bucket/photos"))


def test_addresses_of_several_buckets_have_no_common_folder():
    assert common_folder([b"s3://a/x", b"s3://b/x"]) == b""
    assert common_folder([b"s3://a/x", b"/tmp/x"]) == b""
    assert common_folder([b"s3://a/x/1", b"s3://a/x/2"]) == b"s3://a/x"


def test_a_table_may_replace_listing(tmp_path):
    storage = memory_storage({f"photos/{name}/{i}.jpg": JPEG for name in ("cat", "dog") for i in range(3)})
    keys = [f"photos/{name}/{i}.jpg" for name in ("cat", "dog") for i in range(2)]
    (tmp_path / "keys.csv").write_text("\n".join(["key,size", *(f"{key},{len(JPEG)}" for key in keys)]), encoding="utf-8")
    source = bs.open(f"{TOP}/photos/", listing=tmp_path / "keys.csv")
    assert names_of(source) == [f"{TOP}/{key}" for key in keys]
    assert storage.requests["list"] == 0
    assert "keys.csv" in source.choices[-1].chosen


def test_a_new_list_may_be_asked_for():
    storage = memory_storage({"photos/1.jpg": JPEG})
    assert len(bs.open(f"{TOP}/photos/", listing="new")) == 1
    assert storage.requests["list"] == 1


def test_listing_without_an_address_is_refused(tmp_path):
    with pytest.raises(bs.BadSetting, match="listing="):
        bs.open(tmp_path, listing="new")
    with pytest.raises(bs.BadSetting, match="one folder"):
        bs.open([f"{TOP}/a.jpg"], listing="keys.csv")
