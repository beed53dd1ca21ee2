"""Files that hold many rows: npz, HDF5, Zarr, Parquet, Feather, tar; what is in them, and what must not be."""

import io
import json
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

import bitesize as bs
from bitesize.files.tar_index import SUFFIX
from bitesize.testing import check_source, read_rows

random = np.random.default_rng(0)
X = random.integers(0, 256, (60, 6, 5, 3), np.uint8)
Y = np.arange(60) % 3


def x_of(source, **settings):
    with bs.Loader(source, batch_size=8, memory="64 MiB", shuffle=False, **settings) as loader:
        return np.concatenate([batch["x"].copy() for batch in loader])


def image(seed, kind="PNG", size=(9, 7)):
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue(), pixels


# --- .npz -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_of_an_archive_are_fields(tmp_path, save):
    save(tmp_path / "a.npz", x=X, y=Y, z=Y * 0.5, one=np.float64(3))
    source = bs.open(tmp_path / "a.npz")
    assert sorted(source.spec) == ["x", "y", "z"]
    assert dict(source.left_out) == {"one: a single value": 1}
    assert source.labels.tolist() == Y.tolist()
    assert np.array_equal(x_of(source), X)
    assert (source.locate(np.array([0])) is not None) == (save is np.savez)  # read in place where it is stored
    check_source(source)


def test_fields_are_chosen_and_named(tmp_path):
    np.savez(tmp_path / "a.npz", images=X, labels=np.array(["a", "b", "c"])[Y], other=np.zeros(7))
    with pytest.raises(bs.BadFile, match=r"different lengths .*fields="):
        bs.open(tmp_path / "a.npz")
    source = bs.open(tmp_path / "a.npz", fields={"x": "images", "y": "labels"})
    assert (source.classes, source.labels.tolist()) == (("a", "b", "c"), Y.tolist())
    assert list(bs.open(tmp_path / "a.npz", fields=["images"]).spec) == ["images"]
    with pytest.raises(bs.BadSetting, match="has no 'nothing': it has images, labels, other"):
        bs.open(tmp_path / "a.npz", fields=["nothing"])


def test_a_damaged_compressed_archive_is_noticed(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", x=X)
    whole = (tmp_path / "a.npz").read_bytes()
    for at in range(200, len(whole) - 300, 997):
        broken = bytearray(whole)
        broken[at] ^= 0x55
        (tmp_path / "b.npz").write_bytes(bytes(broken))
        with pytest.raises(bs.BadFile, match=r"damaged|cannot be read|should have"):
            x_of(bs.open(tmp_path / "b.npz"))


def test_an_archive_that_says_it_is_huge_takes_no_memory(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (1 << 20, 1 << 20)})
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", header.getvalue() + bytes(1 << 20))
    with pytest.raises(bs.BadFile, match="should have"):
        bs.open(tmp_path / "a.npz")


def test_objects_in_an_archive_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.array([{}, {}], object))
    with pytest.raises(bs.BadFile, match=r"Python objects \(a pickle\).*refused"):
        bs.open(tmp_path / "a.npz")


def test_a_folder_of_archives_has_a_row_in_each(tmp_path):
    for i in range(12):
        folder = tmp_path / "ab"[i % 2]
        folder.mkdir(exist_ok=True)
        np.savez_compressed(folder / f"{i}.npz", x=X[i], depth=X[i, :, :, 0] * 0.5)
    source = bs.open(tmp_path)
    assert (len(source), source.classes, sorted(source.spec)) == (12, ("a", "b"), ["depth", "x", "y"])
    assert np.array_equal(x_of(source), X[[0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11]])
    np.savez(tmp_path / "a" / "0.npz", x=X[0, :3], depth=X[0, :, :, 0] * 0.5)
    with pytest.raises(bs.BadFile, match=r"the array 'x' of .*0\.npz|the array 'x' of .*\.npz is"):
        x_of(source)


# --- HDF5 -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "layout", [{}, {"chunks": (7, 6, 5, 3)}, {"chunks": (7, 6, 5, 3), "compression": "gzip", "shuffle": True}]
)
def test_datasets_are_fields(tmp_path, layout):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("data/images", data=X, **layout)
        file["label"] = np.array([b"a", b"b", b"c"])[Y]
        file["big"] = Y.astype(">f4")
        file["flag"] = Y > 1
    source = bs.open(tmp_path / "a.h5", fields={"x": "data/images", "y": "label", "big": "big", "flag": "flag"})
    assert source.classes == ("a", "b", "c")
    assert source.spec["big"] == bs.Field((), np.dtype("f4"))
    assert np.array_equal(x_of(source), X)
    assert [np.frombuffer(row, "f4")[0] for row in read_rows(source, [4, 5])["big"]] == [1, 2]
    assert [np.frombuffer(row, bool)[0] for row in read_rows(source, [4, 5])["flag"]] == [False, True]
    assert (source.locate(np.array([0])) is not None) == (not layout)
    check_source(source)


def test_what_leads_out_of_a_file_is_not_followed(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["secret"] = X
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = X
        file["linked"] = h5py.ExternalLink("other.h5", "secret")
        file["within"] = h5py.SoftLink("/x")
        file["nowhere"] = h5py.SoftLink("/none")
        file.create_dataset("raw", (60,), "u1", external=[(str(tmp_path / "other.h5"), 0, 60)])
        layout = h5py.VirtualLayout((60, 6, 5, 3), "u1")
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "secret", (60, 6, 5, 3))
        file.create_virtual_dataset("virtual", layout)
        file.create_group("loop")["again"] = file["/"]
    source = bs.open(tmp_path / "a.h5")
    assert sorted(source.spec) == ["within", "x"]
    assert len([why for why in source.left_out if "other file" in why or "another file" in why]) == 3
    with pytest.raises(bs.BadSetting, match="a link into another file"):
        bs.open(tmp_path / "a.h5", fields=["linked"])


def test_hdf5_is_read_by_many_threads_and_travels_by_pickle(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=X, chunks=(5, 6, 5, 3), compression="lzf")
    source = pickle.loads(pickle.dumps(bs.open(tmp_path / "a.h5")))
    with bs.Loader(source, batch_size=6, memory="64 MiB", threads=8) as loader:
        for _ in range(3):
            rows = {}
            for batch in loader:
                rows |= dict(zip(batch.rows.tolist(), batch["x"].copy(), strict=True))
            assert np.array_equal(np.stack([rows[i] for i in range(60)]), X)
    source.close()


def test_a_truncated_or_foreign_file_is_told(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=X, chunks=(5, 6, 5, 3), compression="gzip")
    whole = (tmp_path / "a.h5").read_bytes()
    (tmp_path / "b.h5").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "c.h5").write_bytes(b"no HDF5")
    for name in "bc":
        with pytest.raises(bs.BadFile, match="cannot be read as HDF5"):
            bs.open(tmp_path / f"{name}.h5")


def test_a_chunk_larger_than_the_budget_is_refused_before_it_is_read(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", (64, 1024, 1024), "u1", chunks=(64, 1024, 1024), compression="gzip")
    with pytest.raises(bs.DoesNotFit):
        bs.Loader(bs.open(tmp_path / "a.h5"), batch_size=2, memory="48 MiB")


# --- Zarr -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", [{"zarr_format": 2}, {"zarr_format": 3}, {"zarr_format": 3, "shards": (20, 6, 5, 3)}])
def test_zarr_of_both_formats(tmp_path, layout):
    zarr = pytest.importorskip("zarr")
    shards = layout.pop("shards", None)
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", **layout)
    group.create_array("images", data=X, chunks=(5, 6, 5, 3), **({"shards": shards} if shards else {}))
    group.create_array("y", data=Y)
    source = bs.open(tmp_path / "a.zarr", fields={"x": "images", "y": "y"})
    assert np.array_equal(x_of(source), X)
    assert source.chunks().starts.tolist() == list(range(0, 61, 5))
    check_source(source)


def test_a_zarr_array_alone_is_x_and_damage_is_told(tmp_path):
    zarr = pytest.importorskip("zarr")
    zarr.create_array(tmp_path / "a.zarr", data=X, chunks=(5, 6, 5, 3))
    source = bs.open(tmp_path / "a.zarr")
    assert list(source.spec) == ["x"]
    (tmp_path / "a.zarr" / "c" / "3" / "0" / "0" / "0").write_bytes(b"damaged")
    with pytest.raises(bs.BadFile, match=r"c.3.0.0.0: a chunk is damaged"):
        x_of(source)
    settings = {"batch_size": 8, "memory": "64 MiB", "shuffle": False, "on_error": "skip", "max_bad": 0.2}
    with bs.Loader(source, **settings) as loader:
        masked = np.concatenate([batch.mask.copy() for batch in loader])
    assert np.flatnonzero(~masked).tolist() == [15, 16, 17, 18, 19]


# --- Parquet, Feather -------------------------------------------------------------------------------------------------


def test_columns_of_every_kind(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    files, pixels = zip(*(image(i) for i in range(60)), strict=True)
    for i in range(60):
        (tmp_path / f"{i}.png").write_bytes(files[i])
    table = pa.table(
        {
            "image": pa.array([{"bytes": data, "path": None} for data in files]),
            "plain": pa.array(files, pa.binary()),
            "path": [f"{i}.png" for i in range(60)],
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(random.random(240)), 4),
            "list": [[float(i), 1.0] for i in range(60)],
            "label": pa.array(np.array(["a", "b", "c"])[Y]).dictionary_encode(),
            "day": pa.array(np.arange(60).astype("datetime64[D]")),
            "words": [f"word {i}" for i in range(60)],
        }
    )
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=11)
    source = bs.open(tmp_path / "a.parquet", fields={"x": "image", "vector": "vector", "list": "list", "label": "label"})
    assert source.spec["vector"] == bs.Field((4,), np.dtype("f8"))
    assert source.spec["list"] == bs.Field((2,), np.dtype("f8"))
    assert (source.classes, source.labels.tolist()) == (("a", "b", "c"), Y.tolist())
    for column in ("image", "plain", "path"):
        one = bs.open(tmp_path / "a.parquet", fields={"x": column, "y": "label"})
        assert np.array_equal(x_of(one), np.stack(pixels)), column
    check_source(source)


def test_missing_and_odd_values_are_bad_rows_by_themselves(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    values = [[1.0, 2.0] for _ in range(20)]
    values[7], values[9] = None, [1.0, 2.0, 3.0]
    pq.write_table(pa.table({"x": values, "y": list(range(20))}), tmp_path / "a.parquet", row_group_size=6)
    settings = {"batch_size": 4, "memory": "32 MiB", "shuffle": False, "on_error": "skip", "max_bad": 0.2}
    with bs.Loader(bs.open(tmp_path / "a.parquet"), **settings) as loader:
        masked = np.concatenate([batch.mask.copy() for batch in loader])
        reasons = [bad.reason for bad in loader.bad]
    assert np.flatnonzero(~masked).tolist() == [7, 9]
    assert "no value" in reasons[0]
    assert "3 values for 2" in reasons[1]


def test_a_folder_of_parquet_files_is_one_source_and_has_parts(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    for part, rows in (("train", range(40)), ("test", range(40, 60))):
        for number in range(2):
            own = list(rows)[number::2]
            name = f"{part}-{number:05}-of-00002.parquet"
            pq.write_table(pa.table({"x": [float(i) for i in own], "y": [int(Y[i]) for i in own]}), tmp_path / name)
    with pytest.raises(bs.BadSetting, match=r'has splits \(train, test\): choose one with split="train"'):
        bs.open(tmp_path)
    assert (len(bs.open(tmp_path, split="train")), len(bs.open(tmp_path, split="test"))) == (40, 20)
    assert len(bs.open(str(tmp_path / "train-*.parquet"))) == 40


def test_damaged_parquet_and_feather_are_told(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.feather as feather
    import pyarrow.parquet as pq

    table = pa.table({"x": random.random(5000), "y": np.arange(5000) % 2})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=500)
    feather.write_feather(table, tmp_path / "a.feather", chunksize=500)
    for name in ("a.parquet", "a.feather"):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(bs.BadFile, match="cannot be read as"):
            bs.open(tmp_path / name)


# --- tar --------------------------------------------------------------------------------------------------------------


def write_tar(path, samples):
    with tarfile.open(path, "w") as tar:
        for name, data in samples:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def test_members_of_a_key_are_a_row(tmp_path):
    files, pixels = zip(*(image(i, "PNG") for i in range(20)), strict=True)
    samples = []
    for i in range(20):
        array = io.BytesIO()
        np.save(array, X[i])
        samples += [
            (f"a/{i:03}.png", files[i]),
            (f"a/{i:03}.cls", b"%d\n" % (i % 3)),
            (f"a/{i:03}.depth.npy", array.getvalue()),
        ]
        samples.append((f"a/{i:03}.json", json.dumps({"score": i / 2, "name": "x"}).encode()))
    write_tar(tmp_path / "a.tar", samples)
    source = bs.open(tmp_path / "a.tar")
    assert (len(source), sorted(source.spec)) == (20, ["depth_npy", "x", "y"])
    assert source.labels.tolist() == [i % 3 for i in range(20)]
    assert np.array_equal(x_of(source), np.stack(pixels))
    assert source.describe(3).endswith("a.tar::a/003")
    check_source(source)
    chosen = bs.open(tmp_path / "a.tar", fields={"x": "png", "d": "depth.npy", "score": "json.score"})
    found = read_rows(chosen, [5])
    assert np.frombuffer(found["score"][0], "f8")[0] == 2.5
    assert found["d"][0] == X[5].tobytes()


def test_the_index_of_a_tar_is_kept_and_made_anew_when_it_does_not_fit(tmp_path):
    path = tmp_path / "a.tar"
    write_tar(path, [(f"{i}.png", image(i)[0]) for i in range(10)])
    assert len(bs.open(path)) == 10
    index = tmp_path / f"a.tar{SUFFIX}"
    assert index.exists()
    kept = index.read_bytes()
    for damage in (b"", b"no archive", kept[: len(kept) // 2]):
        index.write_bytes(damage)
        assert len(bs.open(path)) == 10
    evil = bytearray(kept)
    numbers = np.frombuffer(evil, "<i8", offset=128 + 4 * 8, count=30).reshape(3, 10)
    numbers[1] = 1 << 60  # where members begin
    index.write_bytes(evil)
    assert np.array_equal(x_of(bs.open(path))[3], image(3)[1])
    write_tar(path, [(f"{i}.png", image(i)[0]) for i in range(12)])
    assert len(bs.open(path)) == 12


def test_names_that_lead_out_links_and_devices_in_a_tar_do_nothing(tmp_path):
    good = image(0)[0]
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name in ("../../evil.png", "/etc/evil.png", "fine.png"):
            member = tarfile.TarInfo(name)
            member.size = len(good)
            tar.addfile(member, io.BytesIO(good))
        for name, kind in (("link.png", tarfile.SYMTYPE), ("hard.png", tarfile.LNKTYPE), ("fifo.png", tarfile.FIFOTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)
    before = sorted(tmp_path.rglob("*"))
    source = bs.open(tmp_path / "a.tar")
    assert len(source) == 3
    assert x_of(source).shape == (3, 9, 7, 3)
    assert sorted(tmp_path.rglob("*")) == sorted([*before, tmp_path / f"a.tar{SUFFIX}"])


def test_a_tar_that_is_compressed_cut_off_or_incomplete_is_told(tmp_path):
    samples = [(f"{i}.png", image(i)[0]) for i in range(10)]
    write_tar(tmp_path / "a.tar", [*samples, *((f"{i}.cls", b"1") for i in range(9))])
    with pytest.raises(bs.BadFile, match=r"1 of 10 samples .* no member \.cls: 9"):
        bs.open(tmp_path / "a.tar")
    whole = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "b.tar").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(bs.BadFile, match=r"ends within|ends without|cannot be read as a tar"):
        bs.open(tmp_path / "b.tar")
    with tarfile.open(tmp_path / "c.tar", "w:gz") as tar:
        tar.add(tmp_path / "a.tar", "x.png")
    with pytest.raises(bs.BadFile, match="it is compressed"):
        bs.open(tmp_path / "c.tar")


def test_links_in_a_tar_file_are_counted_and_not_followed(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for i in range(3):
            data = io.BytesIO()
            np.save(data, np.full(4, i))
            member = tarfile.TarInfo(f"{i}.npy")
            member.size = len(data.getvalue())
            tar.addfile(member, io.BytesIO(data.getvalue()))
        link = tarfile.TarInfo("3.npy")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
        hard = tarfile.TarInfo("4.npy")
        hard.type, hard.linkname = tarfile.LNKTYPE, "not there"
        tar.addfile(hard)
    for _ in range(2):  # as it is made, and as it is kept
        source = bs.open(tmp_path / "a.tar")
        assert len(source) == 3
        assert source.left_out == {"links, devices and similar members": 2}
