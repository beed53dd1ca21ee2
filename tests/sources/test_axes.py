"""`axes=` says what the axes of a row are, where the shape does not."""

import tarfile

import numpy as np
import pytest

import bitesize as bs
from bitesize.errors import BadSetting

X = np.arange(4 * 6 * 7 * 8, dtype=np.uint16).reshape(4, 6, 7, 8)


def hdf5(path, x):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        file["x"] = x


def zarr(path, x):
    pytest.importorskip("zarr").save_array(str(path), x)


def parquet(path, x):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    kind = pa.fixed_shape_tensor(pa.from_numpy_dtype(x.dtype), x.shape[1:])
    rows = pa.FixedShapeTensorArray.from_numpy_ndarray(x)
    parquet.write_table(pa.table({"x": rows.cast(kind)}), path)


FILES = {
    "npy": lambda path, x: np.save(path, x),
    "npz": lambda path, x: np.savez(path, x=x),
    "h5": hdf5,
    "zarr": zarr,
    "parquet": parquet,
}


@pytest.mark.parametrize("suffix", FILES)
def test_rows_of_files_of_arrays_are_volumes_if_axes_say_so(suffix, tmp_path):
    path = tmp_path / f"x.{suffix}"
    FILES[suffix](path, X)
    source = bs.open(path, axes="DHW", file_is_row=False if suffix in ("npy", "npz") else None)
    assert source.spec[source.primary] == bs.Field((6, 7, 8), np.uint16, axes="DHW")
    with bs.Loader(source, batch_size=4, memory="32 MiB", shuffle=False, transforms=[bs.CenterCrop((2, 3, 4))]) as loader:
        np.testing.assert_array_equal(next(iter(loader))[source.primary], X[:, 2:4, 2:5, 2:6])


def test_rows_of_a_folder_of_arrays_are_volumes_if_axes_say_so(tmp_path):
    for kind in "ab":
        (tmp_path / kind).mkdir()
        for i in range(2):
            np.save(tmp_path / kind / f"{i}.npy", X[i])
    source = bs.open(tmp_path, axes="DHW")
    assert source.spec["x"].axes == "DHW"
    assert source.subset([1, 2]).spec["x"].axes == source.split(0.5)[0].spec["x"].axes == "DHW"


def test_four_axes_are_a_volume_without_being_told():
    with bs.Loader(
        bs.open(X[..., None]), batch_size=4, memory="32 MiB", shuffle=False, transforms=[bs.Flip(0, 0, 1)]
    ) as loader:
        np.testing.assert_array_equal(next(iter(loader))["x"], X[:, ::-1, :, :, None])


def test_images_of_many_channels_are_images_if_axes_say_so(caplog):
    x = np.zeros((2, 6, 7, 40), np.uint8)
    with bs.Loader(bs.open(x, axes="HWC"), batch_size=2, memory="32 MiB", transforms=[bs.CenterCrop(4)]) as loader:
        assert loader.spec["x"].shape == (4, 4, 40)
    assert not caplog.messages


def test_labels_per_voxel_are_masks_of_volumes():
    masks = (X % 3).astype(np.uint8)
    assert bs.open(X, masks, axes="DHW").spec["y"].mask
    assert not bs.open(X, masks).spec["y"].mask
    assert bs.open(X[..., None], masks).spec["y"].mask
    assert bs.open(X[:, 0], (X[:, 0] % 3).astype(np.uint8), axes="HW").spec["y"].mask


@pytest.mark.parametrize(
    ("data", "axes", "message"),
    [
        (X, "CDHW", "axes must be 'HW', 'HWC', 'DHW', 'DHWC', not 'CDHW'"),
        (
            X,
            "HW",
            r"axes='HW' is for rows with 2 axes, but rows of x are \(6, 7, 8\) uint16: use axes=\"HWC\" or axes=\"DHW\"",
        ),
        (np.zeros((3, 5)), "HW", "leave it out"),
        (bs.open(X), "DHW", "a Source is already open"),
    ],
    ids=["unknown", "other number", "no such axes", "open already"],
)
def test_axes_that_do_not_fit_are_refused(data, axes, message):
    with pytest.raises(BadSetting, match=message):
        bs.open(data, axes=axes)


def test_encoded_images_have_axes_of_their_own(photos):
    with pytest.raises(BadSetting, match="is an encoded image"):
        bs.open(photos, axes="HWC")


def test_rows_whose_axes_are_unclear_are_told_of_the_setting():
    with pytest.raises(BadSetting, match=r'pass axes="DHW" or axes="HWC" to bs.open'):
        bs.Loader(bs.open(np.zeros((2, 9, 8, 8), np.uint8)), batch_size=1, memory="16 MiB", transforms=[bs.CenterCrop(4)])
    with pytest.raises(BadSetting, match=r'volumes.*pass axes="DHWC" to bs.open'):
        bs.Loader(bs.open(np.zeros((2, 9, 8, 8, 8), np.uint8)), batch_size=1, memory="16 MiB", transforms=[bs.CenterCrop(4)])


@pytest.mark.parametrize("form", ["tar", "npz"])
def test_rows_in_archives_keep_their_axes(tmp_path, form):
    for i, row in enumerate(X):
        np.save(tmp_path / f"{i}.npy", row)
    if form == "tar":
        with tarfile.open(tmp_path / "x.tar", "w") as tar:
            for i in range(len(X)):
                tar.add(tmp_path / f"{i}.npy", f"{i}.npy")
        data = tmp_path / "x.tar"
    else:
        data = tmp_path / "folder"
        data.mkdir()
        for i, row in enumerate(X):
            np.savez(data / f"{i}.npz", x=row)
    source = bs.open(data, axes="DHW", file_is_row=form == "npz" or None)
    assert source.spec[source.primary].axes == "DHW"
    with bs.Loader(source, batch_size=4, memory="32 MiB", shuffle=False) as loader:
        assert (next(iter(loader))[source.primary] == X).all()
