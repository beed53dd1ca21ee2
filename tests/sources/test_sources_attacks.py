"""What attacks on sources found: rows of the wrong field, folder, part or label, and errors that were not ours."""

import io
import json
import os
import pickle
import shutil
import tarfile

import numpy as np
import pytest
from PIL import Image

import bitesize as bs
from bitesize.testing import check_source, read_rows


def _image(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 4, 3), value, np.uint8)).save(path)


def test_sources_that_list_their_fields_in_another_order_are_joined_field_by_field(tmp_path):
    p, q = np.zeros((6, 4), np.uint8), np.full((6, 4), 100, np.uint8)
    np.savez(tmp_path / "1.npz", p=p, q=q)
    np.savez(tmp_path / "2.npz", q=q, p=p)
    both = [bs.open(tmp_path / "1.npz"), bs.open(tmp_path / "2.npz")]
    for source in (bs.chain(both), bs.zip(a=bs.chain(both), b=bs.open(np.zeros(12)))):
        name = "p" if "p" in source.spec else "a_p"
        for _ in range(3):  # the first may come before compiled code is there
            with bs.Loader(source, batch_size=12, memory="64 MiB", shuffle=False, transforms=[bs.Scale(1.0)]) as loader:
                batch = next(iter(loader))
                assert not batch[name].any()
                del batch


def test_sources_with_other_labels_are_not_joined(tmp_path):
    np.savez(tmp_path / "l.npz", a=np.arange(6), b=np.arange(6) + 100)
    with pytest.raises(bs.BadSetting, match="labels in the same field: source 0 has 'a', source 1 'b'"):
        bs.chain([bs.open(tmp_path / "l.npz", "a"), bs.open(tmp_path / "l.npz", "b")])


def test_each_table_of_several_names_the_files_of_its_own_folder(tmp_path):
    for name, value in (("s1", 10), ("s2", 200)):
        _image(tmp_path / name / "a.png", value)
        (tmp_path / name / "t.csv").write_text(f"path,label\na.png,{name}\n")
    source = bs.open([tmp_path / "s1" / "t.csv", tmp_path / "s2" / "t.csv"])
    assert [os.path.basename(os.path.dirname(source.describe(row))) for row in (0, 1)] == ["s1", "s2"]
    assert (source.classes, source.labels.tolist()) == (("s1", "s2"), [0, 1])


def test_a_column_called_x_is_left_out_and_files_may_be_called_otherwise(tmp_path):
    for i in range(10):
        _image(tmp_path / f"{i}.png", i)
    lines = [f"{i}.png,{i + 3},{'cat' if i % 2 else 'dog'}" for i in range(10)]
    (tmp_path / "metadata.csv").write_text("\n".join(["file_name,x,label", *lines]))
    source = bs.open(tmp_path)
    assert (sorted(source.spec), list(source.left_out)) == (
        ["x", "y"],
        ["the column 'x', whose name the files have"],
    )
    check_source(source)
    with pytest.raises(bs.BadSetting, match="'x' is the field of the files"):
        bs.open(tmp_path, fields={"x": "label"})
    renamed = bs.open(tmp_path, fields={"picture": "file_name", "x": "x", "y": "label"})
    assert (list(renamed.spec), renamed.label_name, renamed.classes) == (["picture", "x", "y"], "y", ("cat", "dog"))
    check_source(renamed.subset(np.arange(10)))
    with bs.Loader(
        bs.open(tmp_path, fields={"picture": "file_name"}), batch_size=10, memory="64 MiB", shuffle=False
    ) as loader:
        assert next(iter(loader))["picture"][:, 0, 0, 0].tolist() == list(range(10))


def test_classes_of_a_table_are_the_same_in_each_part(tmp_path):
    for i in range(4):
        _image(tmp_path / f"{i}.png", i)
    (tmp_path / "t.csv").write_text("path,label,split\n0.png,a,train\n1.png,b,train\n2.png,b,val\n3.png,,test\n")
    val = bs.open(tmp_path / "t.csv", split="validation")
    assert (val.classes, val.labels.tolist()) == (("a", "b"), [1])
    with pytest.raises(bs.BadFile, match=r"1 row of .* has no 'label': 3\.png"):
        bs.open(tmp_path / "t.csv", split="test")


def test_a_pickled_source_of_hdf5_knows_which_file_it_is_of(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["d"] = np.arange(40.0).reshape(10, 4)
    source = bs.open(tmp_path / "t.h5")
    source.close()
    copy = pickle.loads(pickle.dumps(source))
    assert read_rows(copy, [3]) == read_rows(source, [3])
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["a"], file["d"] = np.full((10, 7), -7.0), np.arange(40.0).reshape(10, 4)
    os.replace(tmp_path / "other.h5", tmp_path / "t.h5")
    with pytest.raises(bs.BadRows, match="has changed"):
        read_rows(pickle.loads(pickle.dumps(source)), [3])


@pytest.mark.parametrize("options", [{}, {"compressors": None}, {"shards": (100, 4)}])
def test_zarr_of_another_kind_in_its_place_is_noticed(tmp_path, options):
    zarr = pytest.importorskip("zarr")

    def write(dtype, time):
        shutil.rmtree(tmp_path / "z.zarr", ignore_errors=True)
        zarr.create_array(tmp_path / "z.zarr", shape=(400, 4), chunks=(50, 4), dtype=dtype, **options)[:] = 7
        os.utime(tmp_path / "z.zarr" / "zarr.json", (time, time))

    write("f8", 1e9)
    source = bs.open(tmp_path / "z.zarr")
    write("i8", 2e9)
    with pytest.raises(bs.BadRows, match="has changed since it was opened"):
        read_rows(source, [0])
    with pytest.raises(bs.FileChanged):
        pickle.loads(pickle.dumps(source)).check_unchanged()


def test_negative_and_large_labels_are_mapped_by_what_they_are():
    numbers = [-1, 0, 1, 2]
    named = bs.open(np.zeros((4, 2)), numbers).map_labels({-1: "ignore", 0: "a", 1: "b", 2: "c"})
    assert [named.classes[label] for label in named.labels] == ["ignore", "a", "b", "c"]
    large = bs.open(np.zeros((3, 2)), [10**9, 0, 10**12]).map_labels(str)
    assert (large.classes, large.labels.tolist()) == (("0", "1000000000", "1000000000000"), [1, 0, 2])
    many = bs.open(np.zeros((3, 2)), [0, 1, 60_000]).map_labels(str)  # not in the square of that time
    assert (len(many.classes), many.classes[many.labels[2]]) == (60_001, "60000")


def test_labels_that_no_int64_holds_are_told(tmp_path):
    np.savez(tmp_path / "u.npz", x=np.zeros((3, 4)), y=np.array([2**63 + 1, 0, 1], np.uint64))
    with pytest.raises(bs.BadSetting, match=r"below 2\*\*63"):
        _ = bs.open(tmp_path / "u.npz").labels
    pa = pytest.importorskip("pyarrow")
    with pytest.raises(bs.BadSetting, match=r"below 2\*\*63"):
        _ = bs.open(pa.table({"a": [1.0, 2.0], "y": pa.array([2**63, 0], pa.uint64())})).labels


def test_data_in_parts_are_not_opened_whole_whatever_way_they_are_cut_into_files(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    feather = pytest.importorskip("pyarrow.feather")
    for i, part in enumerate(("train", "val")):
        feather.write_feather(pa.table({"v": [1.0, 2.0], "split": [part, part]}), str(tmp_path / f"{i}.feather"))
        (tmp_path / "mf").mkdir(exist_ok=True)
        pq.write_table(pa.table({"v": [i + 1.0, i + 3.0], "split": ["train", "val"]}), tmp_path / "mf" / f"{i}.parquet")
    files = sorted(tmp_path.glob("*.feather"))
    for what in (files, str(tmp_path / "*.feather"), tmp_path / "mf", sorted((tmp_path / "mf").glob("*.parquet"))):
        with pytest.raises(bs.BadSetting, match=r"has splits \(train, val\)"):
            bs.open(what)
        assert len(bs.open(what, split="val")) == 2
    assert read_rows(bs.open(tmp_path / "mf", split="val"), [0, 1]) == {"x": [np.float64(v).tobytes() for v in (3.0, 4.0)]}
    with pytest.raises(bs.BadFile, match="no value in row 2"):
        bs.open(pa.table({"v": [1.0, 2.0, 3.0], "split": ["train", "val", None]}))


def test_names_that_differ_only_in_their_ends_are_different_classes():
    pa = pytest.importorskip("pyarrow")
    assert bs.open(pa.table({"a": [1.0, 2.0, 3.0], "y": ["a\0", "a", "b"]})).classes == ("a", "a\0", "b")
    assert bs.open(np.zeros(3), ["a\0", "a", "b"]).classes == ("a", "a\0", "b")


def test_mixing_that_would_leave_labels_as_they_are_is_refused(tmp_path):
    named = {"pic": np.zeros((8, 4, 4, 3), np.uint8), "breed": np.array(["a", "b"] * 4), "size": np.array(["s", "l"] * 4)}
    np.savez(tmp_path / "a.npz", **named)
    several = bs.open(tmp_path / "a.npz", "breed", fields=["pic", "breed", "size"])
    pairs = bs.zip(a=bs.open(tmp_path / "a.npz", "breed"), b=bs.open(tmp_path / "a.npz", "size"))
    for source in (several, pairs):
        with pytest.raises(bs.BadSetting, match="would stay"):
            bs.Loader(source, batch_size=4, memory="64 MiB", transforms=[bs.Scale(1 / 255), bs.MixUp(0.4)])


def test_damaged_text_in_hdf5_is_a_bad_file(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "g.h5", "w") as file:
        file["x"] = np.arange(24, dtype="f4").reshape(6, 4)
        label = file.create_dataset("label", data=np.array(["a", "b"] * 3, "S1"), chunks=(3,), compression="gzip")
        place = label.id.get_chunk_info(0).byte_offset
    with (tmp_path / "g.h5").open("r+b") as file:
        file.seek(place)
        file.write(b"damaged")
    with pytest.raises(bs.BadFile, match=r"g\.h5 cannot be read as HDF5"):
        bs.open(tmp_path / "g.h5")


def test_text_that_is_declared_and_hardly_stored_takes_no_memory(tmp_path):
    h5py = pytest.importorskip("h5py")
    rows = 10**9
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_dataset("x", shape=(rows, 1), dtype="u1", chunks=(10**6, 1), compression="gzip")
        file.create_dataset("label", shape=(rows,), dtype="S8", chunks=(10**6,), compression="gzip")
    with pytest.raises(bs.DoesNotFit, match="text in 1,000,000,000 rows"):
        bs.open(tmp_path / "b.h5")


def test_dates_in_hdf5_are_read_and_what_is_no_text_is_no_label(tmp_path):
    h5py = pytest.importorskip("h5py")
    days = np.arange(12).astype("M8[D]").astype("M8[s]")
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file["x"] = np.zeros((12, 3))
        file["day"] = days.astype(h5py.opaque_dtype("M8[s]"))
        ragged = file.create_dataset("label", shape=(12,), dtype=h5py.vlen_dtype(np.int32))
        ragged[0] = [1, 2]
    source = bs.open(tmp_path / "d.h5")
    assert (sorted(source.spec), source.label_name) == (["day", "x"], None)
    with bs.Loader(source, batch_size=12, memory="64 MiB", shuffle=False) as loader:
        assert (next(iter(loader))["day"] == days).all()
    with pytest.raises(bs.BadSetting, match="neither numbers nor text"):
        bs.open(tmp_path / "d.h5", labels="label", fields=["x", "label"])


def test_several_labels_in_tar_files_keep_their_names_whatever_characters_they_have(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for i in range(10):
            picture = io.BytesIO()
            Image.fromarray(np.full((4, 4, 3), i, np.uint8)).save(picture, "PNG")
            about = json.dumps({"color": ["red", "\ud800"][i % 2]}).encode()
            for kind, data in (("png", picture.getvalue()), ("cls", b"ab"[i % 2 : i % 2 + 1]), ("json", about)):
                member = tarfile.TarInfo(f"{i}.{kind}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    source = bs.open(tmp_path / "a.tar", "kind", fields={"picture": "png", "kind": "cls", "color": "json.color"})
    assert (source.primary, source.label_name, source.classes) == ("picture", "kind", ("a", "b"))
    assert source.classes_of == {"color": ("\\ud800", "red")}
    check_source(source)


@pytest.mark.parametrize(
    "call",
    [
        lambda s: s.map_labels(["a", "b"]),
        lambda s: s.map_labels(3),
        lambda s: s.map_labels(lambda name: None),
        lambda s: s.renumber(None),
        lambda s: s.subset([[1], [1, 2]]),
        lambda s: s.split(0.5, by=[[1], [1, 2]]),
        lambda s: s.split(0.5, seed="a"),
        lambda s: s.split("x"),
        lambda s: bs.zip(1, 2),
        lambda s: bs.chain(None),
        lambda s: bs.mix([s, s], ["a", 1]),
        lambda s: bs.mix([s, s], None),
        lambda s: bs.check(None),
        lambda s: bs.check([1]),
        lambda s: bs.open({"v": [1]}, fields=3),
        lambda s: bs.open(np.zeros(3), labels={"a": 1}),
    ],
)
def test_arguments_of_another_type_are_told(call):
    with pytest.raises(bs.BadSetting):
        call(bs.open(np.zeros((8, 2)), ["a", "b"] * 4))


def test_groups_may_be_anything_that_can_be_written():
    one, other = bs.open(np.zeros((8, 2))).split(0.5, by=[None, "a", 1, 2, None, "a", 1, 2])
    assert len(one) == len(other) == 4


def _table(tmp_path, text):
    for i in range(4):
        np.save(tmp_path / f"{i}.npy", np.zeros(3, np.float32))
    (tmp_path / "t.csv").write_text(text)
    return tmp_path / "t.csv"


def test_labels_that_are_asked_for_are_not_those_that_happen_to_be_called_y(tmp_path):
    lines = "\n".join(f"{i}.npy,{'ab'[i % 2]},{i * 10}" for i in range(4))
    table = _table(tmp_path, f"path,label,y\n{lines}")
    for source in (bs.open(table), bs.open(table, "label"), bs.open(table, "label", fields=["label", "y"])):
        assert (source.label_name, source.labels.tolist(), source.classes) == ("label", [0, 1, 0, 1], ("a", "b"))
        assert read_rows(source, [3])["y"] == [np.int64(30).tobytes()]
    codes = bs.open(table, "y", fields=["y"])
    assert (codes.labels.tolist(), codes.classes) == ([0, 1, 2, 3], ("0", "10", "20", "30"))
    with pytest.raises(bs.BadSetting, match="are one field, but p and q are requested"):
        bs.open(table, fields={"p": "path", "q": "path"})


def test_what_a_column_is_does_not_depend_on_the_part(tmp_path):
    table = _table(tmp_path, "path,label,w,split\n0.npy,3,1,train\n1.npy,5,2,train\n2.npy,q,1.5,val\n3.npy,5,,val\n")
    train, val = (bs.open(table, split=part) for part in ("train", "val"))
    assert (train.classes, train.labels.tolist(), val.labels.tolist()) == (("3", "5", "q"), [0, 1], [2, 1])
    assert train.spec == val.spec
    table = _table(tmp_path, "path,target,split\n0.npy,3,train\n1.npy,5,train\n2.npy,1.5,val\n3.npy,5,val\n")
    assert [bs.open(table, split=part).labels for part in ("train", "val")] == [None, None]


def test_files_that_are_called_like_a_part_may_hold_rows_of_all(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.table({"x": [1.0, 2.0, 3.0], "split": ["train", "val", "val"]}), tmp_path / "train.parquet")
    for what in (tmp_path, str(tmp_path / "*.parquet"), tmp_path / "train.parquet", [tmp_path / "train.parquet"]):
        with pytest.raises(bs.BadSetting, match="has splits"):
            bs.open(what)
        assert [len(bs.open(what, split=part)) for part in ("train", "val")] == [1, 2], what
    with pytest.raises(bs.NotFound, match="'test'"):
        bs.open(tmp_path, split="test")


@pytest.mark.parametrize("names", [["a", 1], [["a"]], ["a", "b", "a"]])
def test_classes_are_renumbered_by_names_that_come_once(names):
    with pytest.raises(bs.BadSetting, match="a list of unique names"):
        bs.open(np.zeros((2, 2)), ["a", "b"]).renumber(names)
