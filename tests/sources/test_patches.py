"""`bs.patches` cuts windows from what does not fit into memory, and reads each tile about once."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bitesize as bs
from bitesize.sources.sinks import new_buffers
from bitesize.testing import check_bad_rows, check_source

tifffile = pytest.importorskip("tifffile")
pytest.importorskip("imagecodecs")
zarr = pytest.importorskip("zarr")


def image_of(height, width, seed=0):
    random = np.random.default_rng(seed)
    return np.kron(random.integers(0, 256, (-(-height // 8), -(-width // 8), 3), np.uint8), np.ones((8, 8, 1), np.uint8))[
        :height, :width
    ]


IMAGE = image_of(300, 420)
VOLUME = np.random.default_rng(1).integers(0, 60_000, (24, 70, 90), np.uint16)


def all_rows(source):
    into = new_buffers(source.spec, len(source))
    source.read(np.arange(len(source)), into)
    return into


def assert_cut_from(source, image, mask=None):
    """Each patch is a slice of the image."""
    rows = all_rows(source)
    for i, first in enumerate(rows["at"].tolist()):
        box = tuple(slice(begin, begin + n) for begin, n in zip(first, source.size, strict=True))
        assert (rows["x"][i] == image[box]).all()
        if mask is not None:
            assert (rows["y"][i] == mask[box]).all()


def write_hdf5(path, name, data, **options):
    with h5py.File(path, "w") as file:
        file.create_dataset(name, data=data, **options)
    return f"{path}::{name}"


FORMATS = {
    "TIFF, deflate": lambda p: tifffile.imwrite(p / "a.tif", IMAGE, tile=(64, 96), compression="zlib", predictor=True) or p / "a.tif",
    "TIFF in strips": lambda p: tifffile.imwrite(p / "a.tif", IMAGE, rowsperstrip=16, compression="lzw") or p / "a.tif",
    "TIFF, uncompressed": lambda p: tifffile.imwrite(p / "a.tif", IMAGE) or p / "a.tif",
    "TIFF, big-endian": lambda p: tifffile.imwrite(p / "a.tif", IMAGE, tile=(64, 64), byteorder=">") or p / "a.tif",
    "TIFF in planes": lambda p: tifffile.imwrite(
        p / "a.tif", np.moveaxis(IMAGE, -1, 0), tile=(64, 64), compression="zstd", planarconfig="separate", photometric="rgb"
    )
    or p / "a.tif",
    "BigTIFF": lambda p: tifffile.imwrite(p / "a.tif", IMAGE, tile=(64, 64), compression="zlib", bigtiff=True) or p / "a.tif",
    "Zarr 3": lambda p: zarr.create_array(str(p / "a.zarr"), data=IMAGE, chunks=(64, 100, 3)) and p / "a.zarr",
    "Zarr 2": lambda p: zarr.create_array(str(p / "a.zarr"), data=IMAGE, chunks=(64, 100, 2), zarr_format=2) and p / "a.zarr",
    "Zarr, a member": lambda p: zarr.create_array(str(p / "a.zarr"), name="raw", data=IMAGE, chunks=(64, 100, 3)) and f"{p / 'a.zarr'}::raw",
    "HDF5, gzip": lambda p: write_hdf5(p / "a.h5", "images/raw", IMAGE, chunks=(50, 60, 3), compression="gzip"),
    "HDF5, LZF": lambda p: write_hdf5(p / "a.h5", "images/raw", IMAGE, chunks=(50, 60, 3), compression="lzf"),
    "HDF5, in one piece": lambda p: write_hdf5(p / "a.h5", "images/raw", IMAGE),
    ".npy": lambda p: np.save(p / "a.npy", IMAGE) or p / "a.npy",
    "an array": lambda p: IMAGE,
    "a lazy array": lambda p: bs.concatenate([IMAGE[:100], IMAGE[100:]]),
}  # fmt: skip


@pytest.mark.parametrize("kind", FORMATS)
def test_patches_are_slices_of_the_image_in_every_format(kind, tmp_path):
    source = bs.patches(FORMATS[kind](tmp_path), 80, stride=70)
    assert len(source) == 5 * 6
    assert_cut_from(source, IMAGE)
    check_source(source)


@pytest.mark.parametrize("kind", ["TIFF", "Zarr", "HDF5", "array"])
def test_volumes_have_patches_of_three_axes(kind, tmp_path):
    if kind == "TIFF":
        tifffile.imwrite(tmp_path / "v.tif", VOLUME, tile=(32, 32), compression="zlib", photometric="minisblack")
        data = tmp_path / "v.tif"
    elif kind == "Zarr":
        zarr.create_array(str(tmp_path / "v.zarr"), data=VOLUME, chunks=(4, 16, 16), shards=(8, 32, 32))
        data = tmp_path / "v.zarr"
    elif kind == "HDF5":
        data = write_hdf5(tmp_path / "v.h5", "v", VOLUME, chunks=(8, 30, 30), compression="gzip", shuffle=True)
    else:
        data = VOLUME
    source = bs.patches(data, (8, 32, 32), stride=(5, 20, 30))
    assert source.spec["x"].axes == "DHW"
    assert_cut_from(source, VOLUME)
    check_source(source)


def test_channels_that_are_pages_are_the_last_axis(tmp_path):
    channels = np.moveaxis(VOLUME[:5], 0, -1)
    tifffile.imwrite(
        tmp_path / "c.ome.tif",
        VOLUME[:5],
        tile=(32, 32),
        compression="zlib",
        photometric="minisblack",
        metadata={"axes": "CYX"},
    )
    source = bs.patches(tmp_path / "c.ome.tif", 20)
    assert source.spec["x"].axes == "HWC"
    assert_cut_from(source, channels)


def test_pyramids_have_levels(tmp_path):
    with tifffile.TiffWriter(tmp_path / "p.tif") as file:
        file.write(IMAGE, tile=(64, 64), compression="zlib", subifds=1)
        file.write(IMAGE[::2, ::2], tile=(64, 64), compression="zlib", subfiletype=1)
    assert_cut_from(bs.patches(tmp_path / "p.tif", 50, level=1), IMAGE[::2, ::2])
    with pytest.raises(bs.BadSetting, match=r"level=2.*levels 0 to 1"):
        bs.patches(tmp_path / "p.tif", 50, level=2)


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(st.integers(10, 90), st.integers(10, 90)), st.integers(1, 10), st.integers(1, 12), st.sampled_from([16, 32, 48]),
    st.sampled_from(["1 KiB", "20 KiB"]),
)  # fmt: skip
def test_every_pixel_is_in_a_patch_that_equals_the_slice(tmp_path_factory, shape, size, stride, tile, block):
    image = image_of(*shape)
    path = tmp_path_factory.mktemp("t") / "a.tif"
    tifffile.imwrite(path, image, tile=(tile, tile), compression="zlib")
    source = bs.patches(path, size, stride=min(size, stride), block=block)
    assert_cut_from(source, image)
    covered = np.zeros(shape, bool)
    for y, x in all_rows(source)["at"].tolist():
        covered[y : y + size, x : x + size] = True
    assert covered.all()


# --- reads -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [64, 56, 100])
@pytest.mark.parametrize("threads", [1, 3])
def test_a_shuffled_epoch_reads_each_tile_at_most_1_2_times(size, threads, tmp_path):
    image = image_of(1536, 1536)
    tifffile.imwrite(tmp_path / "a.tif", image, tile=(64, 64), compression="zlib")
    source = bs.patches(tmp_path / "a.tif", size, block="2 MiB")
    with bs.Loader(source, batch_size=16, memory="32 MiB", threads=threads) as loader:
        for _ in loader:  # the first epoch may read some rows twice, to look at them
            pass
        before, seen = source.tiles_read, []
        for batch in loader:
            seen += batch["at"].tolist()
        assert (source.tiles_read - before) / source.tiles <= 1.2
    assert sorted(map(tuple, seen)) == sorted(map(tuple, all_rows(source)["at"].tolist()))
    assert seen != all_rows(source)["at"].tolist()


def test_rows_in_order_read_each_tile_at_most_1_2_times(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", image_of(1536, 1536), tile=(64, 64), compression="zlib")
    source = bs.patches(tmp_path / "a.tif", 56, block="1 MiB")
    with bs.Loader(source, batch_size=5, shuffle=False, memory="32 MiB") as loader:
        before = source.tiles_read
        for _ in loader:
            pass
    assert (source.tiles_read - before) / source.tiles <= 1.2


def test_an_interrupted_epoch_continues_exactly(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", IMAGE, tile=(64, 64), compression="zlib")
    source = bs.patches(tmp_path / "a.tif", 32, block="100 KiB")
    with bs.Loader(source, batch_size=8, memory="32 MiB", seed=3) as loader:
        whole = [batch["at"].copy() for batch in loader]
    first = bs.Loader(source, batch_size=8, memory="32 MiB", seed=3)
    batches = iter(first)
    for _ in range(4):
        next(batches)
    state = first.state_dict()
    first.close()
    with bs.Loader(bs.patches(tmp_path / "a.tif", 32, block="100 KiB"), batch_size=8, memory="32 MiB", seed=3) as second:
        second.load_state_dict(state)
        rest = [batch["at"].copy() for batch in second]
    assert all((a == b).all() for a, b in zip(whole[4:], rest, strict=True))


def test_a_pickled_source_reads_the_same_in_many_threads(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", IMAGE, tile=(64, 64), compression="zlib")
    source = bs.patches(tmp_path / "a.tif", 50, keep=lambda x: bool(x.mean() > 100))
    known = all_rows(source)
    copy = pickle.loads(pickle.dumps(source))
    assert copy.fingerprint() == source.fingerprint()
    with ThreadPoolExecutor(8) as pool:
        for rows in pool.map(lambda _: all_rows(copy), range(16)):
            assert all((rows[name] == known[name]).all() for name in known)


# --- masks, kept patches, several images ---------------------------------------------------------------------------------


def test_masks_are_cut_at_the_same_places_and_move_with_the_image(tmp_path):
    mask = (IMAGE[..., 0] > 100).astype(np.uint8)
    zarr.create_array(str(tmp_path / "m.zarr"), data=mask, chunks=(50, 50))
    source = bs.patches(IMAGE, 64, stride=50, masks=tmp_path / "m.zarr")
    assert source.spec["y"].mask
    assert_cut_from(source, IMAGE, mask)
    check_source(source)
    with bs.Loader(source, batch_size=8, memory="32 MiB", transforms=[bs.RandomCrop(48), bs.Flip(0.5)]) as loader:
        for batch in loader:
            assert ((batch["x"][..., 0] > 100) == batch["y"]).all()


def test_kept_patches_are_those_that_the_function_accepts():
    mask = (IMAGE[..., 0] > 100).astype(np.uint8)
    every = bs.patches(IMAGE, 40, masks=mask)
    kept = bs.patches(IMAGE, 40, masks=mask, keep=lambda x, y: bool(y.mean() > 0.6))
    expected = [i for i, y in enumerate(all_rows(every)["y"]) if y.mean() > 0.6]
    assert 0 < len(kept) < len(every)
    assert (all_rows(kept)["at"] == all_rows(every)["at"][expected]).all()
    assert kept.left_out == {"patches that keep= refuses": len(every) - len(kept)}
    check_source(kept)


@pytest.mark.parametrize(("background", "empty"), [(0, 0), ((200, 255), 230), ([10, 20, 30], (10, 20, 30))])
def test_a_share_of_pixels_must_not_be_background(background, empty):
    image = np.full((100, 100, 3), empty, np.uint8)
    image[20:30, 20:30] = 120
    source = bs.patches(image, 10, keep=0.05, background=background)
    assert all_rows(source)["at"].tolist() == [[20, 20]]
    assert source.left_out == {"patches with less than 5% foreground": 99}
    assert "1 of 100 patches kept" in str(source.explain())


def test_patches_of_several_images_say_which_one(tmp_path):
    np.save(tmp_path / "a.npy", IMAGE)
    np.save(tmp_path / "b.npy", IMAGE[:128, :128])
    (tmp_path / "notes.txt").write_text("")
    for data in (tmp_path, str(tmp_path / "*.npy"), [tmp_path / "a.npy", IMAGE[:128, :128]]):
        source = bs.patches(data, 64)
        rows = all_rows(source)
        assert np.bincount(rows["image"]).tolist() == [35, 4]
        for image, (y, x), patch in zip(rows["image"], rows["at"].tolist(), rows["x"], strict=True):
            assert (patch == (IMAGE, IMAGE[:128, :128])[image][y : y + 64, x : x + 64]).all()
        check_source(source)
    assert bs.patches(tmp_path, 64).left_out == {"other files and folders": 1}


def test_random_places_are_as_many_as_asked_for():
    source = bs.patches([IMAGE, IMAGE[:100, :100]], 30, count=200, seed=1)
    assert len(source) == 200
    rows = all_rows(source)
    for image, (y, x), patch in zip(rows["image"], rows["at"].tolist(), rows["x"], strict=True):
        assert (patch == (IMAGE, IMAGE[:100, :100])[image][y : y + 30, x : x + 30]).all()
    check_source(source)
    assert source.fingerprint() != bs.patches([IMAGE, IMAGE[:100, :100]], 30, count=200, seed=2).fingerprint()


# --- errors ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"data": IMAGE, "size": 400}, "larger than array"),
        ({"data": VOLUME, "size": 16}, 'axes="HWC" or axes="DHW"'),
        ({"data": IMAGE, "size": 16, "axes": "HW"}, "axes='HW' has 2 axes"),
        ({"data": IMAGE, "size": 16, "axes": "WHC"}, "axes must be"),
        ({"data": IMAGE, "size": (8, 8, 8)}, "size|axes"),
        ({"data": IMAGE, "size": 0}, "size must be"),
        ({"data": IMAGE, "size": 16, "stride": -1}, "stride must be"),
        ({"data": IMAGE, "size": 16, "stride": 8, "count": 3}, "either stride"),
        ({"data": IMAGE, "size": 16, "masks": np.zeros((300, 421), np.uint8)}, "300, 420"),
        ({"data": IMAGE, "size": 16, "masks": np.zeros((300, 420), np.float32)}, "whole numbers"),
        ({"data": [IMAGE], "size": 16, "masks": []}, "empty"),
        ({"data": [IMAGE, IMAGE[..., :1]], "size": 16}, "must be equal"),
        ({"data": IMAGE, "size": 16, "keep": 2}, "keep must be"),
        ({"data": IMAGE, "size": 16, "keep": 0.5, "background": (0, 255)}, "leaves no patch"),
        ({"data": IMAGE, "size": 16, "keep": 0.5, "background": [1, 2]}, "background"),
        ({"data": IMAGE, "size": 16, "level": 1}, "no pyramid"),
        ({"data": IMAGE, "size": 16, "level": "1"}, "level must be"),
        ({"data": IMAGE, "size": 16, "masks": IMAGE}, "300, 420"),
        ({"data": [], "size": 16}, "empty"),
    ],
)
def test_settings_that_do_not_fit_are_refused(arguments, match):
    with pytest.raises(bs.BadSetting, match=match):
        bs.patches(**arguments)


def test_other_files_are_refused_by_name(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(20))
    with pytest.raises(bs.UnsupportedFile, match=r"a\.png is no TIFF"):
        bs.patches(tmp_path / "a.png", 16)
    with pytest.raises(bs.NotFound, match="does not exist"):
        bs.patches(tmp_path / "b.tif", 16)
    with pytest.raises(bs.NotFound, match="has no images"):
        bs.patches(tmp_path, 16)


def test_a_function_that_returns_no_truth_value_is_refused():
    with pytest.raises(bs.BadResult, match=r"True or False.*patch at \(0, 0\)"):
        bs.patches(IMAGE, 16, keep=lambda x: x.mean())


def test_an_error_of_the_function_names_the_patch():
    def keep(x, y):
        if y.any():
            raise KeyError("tissue")
        return True

    mask = np.zeros(IMAGE.shape[:2], np.uint8)
    mask[200, 300] = 1
    with pytest.raises(KeyError, match="tissue") as caught:
        bs.patches(IMAGE, 30, masks=mask, keep=keep)
    assert caught.value.__notes__ == ["bitesize: keep= was called with the pixels and mask of array, patch at (180, 300)"]


def test_a_mask_without_a_pyramid_is_of_the_level_of_the_image(tmp_path):
    with tifffile.TiffWriter(tmp_path / "p.tif") as file:
        file.write(IMAGE, tile=(64, 64), compression="zlib", subifds=1)
        file.write(IMAGE[::2, ::2], tile=(64, 64), compression="zlib", subfiletype=1)
    small = np.ascontiguousarray(IMAGE[::2, ::2, 0])
    assert_cut_from(bs.patches(tmp_path / "p.tif", 50, level=1, masks=small), IMAGE[::2, ::2], small)
    with pytest.raises(bs.BadSetting, match=r"300, 420.*150, 210"):
        bs.patches(tmp_path / "p.tif", 50, level=1, masks=IMAGE[..., 0])


def test_volumes_may_have_masks():
    mask = (VOLUME % 7).astype(np.uint8)
    source = bs.patches(VOLUME, (8, 32, 32), stride=(5, 20, 30), masks=mask)
    assert source.spec["y"].mask
    assert_cut_from(source, VOLUME, mask)


def test_a_damaged_chunk_fails_its_rows_only(tmp_path):
    zarr.create_array(str(tmp_path / "a.zarr"), data=IMAGE, chunks=(64, 64, 3))
    chunk = tmp_path / "a.zarr" / "c" / "1" / "1" / "0"
    chunk.write_bytes(chunk.read_bytes()[:40])
    source = bs.patches(tmp_path / "a.zarr", 64, block="1 MiB")
    numbers = [row for row in range(len(source)) if source.describe(row).endswith("(64, 64)")]
    assert len(numbers) == 1
    check_bad_rows(source, numbers)
