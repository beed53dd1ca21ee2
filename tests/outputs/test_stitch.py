"""`bs.stitch` makes an image of predictions of patches, and holds only the pixels that wait for others."""

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bitesize as bs
from bitesize.outputs.cells import Cells, weights_of

RANDOM = np.random.default_rng(0)
IMAGE = RANDOM.integers(0, 256, (150, 211, 3), np.uint8)


@pytest.fixture(autouse=True, scope="module")
def open_event_loop(tmp_path_factory):
    """Zarr opens an event loop at its first use, and keeps it."""
    with contextlib.suppress(ImportError):
        import zarr

        zarr.create_array(str(tmp_path_factory.mktemp("loop") / "a.zarr"), data=np.zeros(1))


def pointwise(x):
    return np.tanh(x.astype(np.float32).mean(-1) / 100 - 1)


def blended(source, shape, predictions, blend):
    """The weighted mean, computed in float64 for the whole image at once."""
    total, weight = np.zeros(shape), np.zeros(shape)
    weights = weights_of(source.size, blend)
    _, places = source.places(np.arange(len(source)))
    for prediction, (y, x) in zip(predictions, places.tolist(), strict=True):
        box = slice(y, y + source.size[0]), slice(x, x + source.size[1])
        total[box] += prediction * weights
        weight[box] += weights
    return total / weight


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)), st.integers(1, 30), st.sampled_from(["linear", "flat"]),
    st.sampled_from(["1 KiB", "1 MiB"]), st.sampled_from([np.float16, np.float32, np.float64, np.int16, np.bool_]),
)  # fmt: skip
def test_predictions_of_pixels_alone_are_those_of_the_whole(size, stride, blend, block, dtype):
    def predict(x):
        return pointwise(x).astype(dtype) if np.dtype(dtype).kind == "f" else (x[..., 0] % 7).astype(dtype)

    image = IMAGE[:53, :61]
    source = bs.patches(image, size, stride=tuple(min(stride, n) for n in size), block=block)
    _, places = source.places(np.arange(len(source)))
    patches = np.stack([image[y : y + size[0], x : x + size[1]] for y, x in places.tolist()])
    stitched = bs.stitch(source, predict(patches), blend=blend, memory="64 MiB")
    assert stitched.dtype == dtype
    assert (stitched == predict(image)).all()


@pytest.mark.parametrize("blend", ["linear", "flat"])
def test_where_patches_differ_the_mean_is_weighted(blend):
    source = bs.patches(IMAGE, 40, stride=23)
    predictions = RANDOM.random((len(source), 40, 40)).astype(np.float32)
    stitched = bs.stitch(source, predictions, blend=blend, memory="64 MiB")
    np.testing.assert_allclose(stitched, blended(source, IMAGE.shape[:2], predictions, blend), rtol=1e-5)


def test_equal_predictions_stay_exactly_equal():
    source = bs.patches(IMAGE, 40, stride=13)
    for value in (0.1, np.inf, -np.inf):
        predictions = np.full((len(source), 40, 40), value, np.float32)
        assert (bs.stitch(source, predictions, memory="64 MiB") == np.float32(value)).all()


def test_of_classes_that_of_the_most_central_patch_is_taken():
    source = bs.patches(IMAGE[:10, :15], 10, stride=5)
    predictions = np.stack([np.full((10, 10), 1), np.full((10, 10), 2)])
    assert bs.stitch(source, predictions, memory="64 MiB")[4].tolist() == [1] * 8 + [2] * 7


@pytest.mark.parametrize("name", ["out.npy", "out.zarr", None])
def test_a_function_and_batches_of_predictions_give_the_same(name, tmp_path):
    if name == "out.zarr":
        zarr = pytest.importorskip("zarr")
    source = bs.patches(IMAGE, 48, stride=30)
    whole = np.stack([pointwise(IMAGE), -pointwise(IMAGE)], -1)

    def predict(x):
        return np.stack([pointwise(x), -pointwise(x)], -1)

    def predictions():
        with bs.Loader(source, batch_size=7, shuffle=False, memory="32 MiB") as loader:
            for batch in loader:
                yield predict(batch["x"])

    for given_as in (predict, predictions()):
        out = None if name is None else tmp_path / name
        result = bs.stitch(source, given_as, out, memory="64 MiB")
        if name is not None:
            assert result == out
            result = np.load(out) if name == "out.npy" else zarr.open_array(str(out))[:]
        assert (result == whole).all()


def test_channels_may_come_first():
    source = bs.patches(IMAGE, 48, stride=30)
    seen = []

    def predict(x):
        seen.append(x.shape[1:])
        return x.astype(np.float32) / 255

    stitched = bs.stitch(source, predict, layout="CHW", memory="64 MiB")
    assert (stitched == IMAGE.astype(np.float32) / 255).all()
    assert set(seen) == {(3, 48, 48)}


def test_volumes_are_stitched():
    volume = RANDOM.random((20, 33, 40)).astype(np.float32)
    source = bs.patches(volume, (8, 16, 16), stride=(5, 9, 16))
    assert (bs.stitch(source, lambda x: x * 2, memory="64 MiB") == volume * 2).all()


def test_pixels_without_a_patch_are_filled(tmp_path):
    source = bs.patches(IMAGE, 30, stride=20, keep=lambda x: bool(x.mean() > 128))
    bs.stitch(source, lambda x: x[..., 0].astype(np.int32), tmp_path / "a.npy", fill=-1, memory="64 MiB")
    stitched = np.load(tmp_path / "a.npy")
    covered = np.zeros(stitched.shape, bool)
    for y, x in source.places(np.arange(len(source)))[1].tolist():
        covered[y : y + 30, x : x + 30] = True
    assert 0 < covered.sum() < covered.size
    assert (stitched == np.where(covered, IMAGE[..., 0].astype(int), -1)).all()


def test_several_images_are_stitched_one_after_another(tmp_path):
    source = bs.patches([IMAGE, IMAGE[:64, :64]], 30, stride=20)
    outs = [tmp_path / "a.npy", tmp_path / "b.npy"]
    assert bs.stitch(source, pointwise, outs, memory="64 MiB") == outs
    assert (np.load(outs[0]) == pointwise(IMAGE)).all()
    assert (np.load(outs[1]) == pointwise(IMAGE[:64, :64])).all()
    with pytest.raises(bs.BadSetting, match="each of the 2 images"):
        bs.stitch(source, pointwise, tmp_path / "c.npy")


def test_only_pixels_that_wait_are_in_memory():
    """The most that wait in a raster of 100 x 10 patches is a border of one row of them."""
    source = bs.patches(np.zeros((1000, 100), np.uint8), 12, stride=10, block="1 KiB")
    cells = Cells(source.grids[0], None)
    assert 100 * 2 <= cells.most_open(1) <= 100 * 2 + 12 * 12 * 12
    apart = bs.patches(np.zeros((1000, 100), np.uint8), 10)
    assert Cells(apart.grids[0], None).most_open(1) == 0


def test_what_waits_is_charged_and_returned():
    source = bs.patches(np.zeros((4000, 4000), np.uint8), 400, stride=200)
    budget = bs.Budget("64 MiB")
    with pytest.raises(bs.DoesNotFit, match="stitched image"):
        bs.stitch(source, (np.zeros((1, 400, 400), np.float32) for _ in range(len(source))), memory=budget)
    assert budget.in_use == 0


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda p: p[:-1], "fewer predictions than the"),
        (lambda p: np.concatenate([p, p[:1]]), "more predictions than the"),
        (lambda p: p[:0], "no predictions"),
        (lambda p: p[:, :3], "patches need"),
        (lambda p: p.astype(str), "must be numbers"),
        (lambda p: iter([p[:2], p[2:].astype(np.float64)]), "but the first one"),
    ],
)
def test_predictions_that_do_not_fit_are_refused_and_nothing_is_written(change, match, tmp_path):
    source = bs.patches(IMAGE, 40)
    predictions = np.zeros((len(source), 40, 40), np.float32)
    with pytest.raises(bs.BadResult, match=match):
        bs.stitch(source, change(predictions), tmp_path / "a.npy", memory="64 MiB")
    assert list(tmp_path.iterdir()) == []


def test_patches_without_a_grid_are_refused():
    for source in (bs.patches(IMAGE, 20, count=5), bs.patches(IMAGE, 20).subset([0, 1]), bs.open(IMAGE)):
        with pytest.raises(bs.BadSetting, match="patches on a grid"):
            bs.stitch(source, pointwise)
    with pytest.raises(bs.BadSetting, match="blend must be"):
        bs.stitch(bs.patches(IMAGE, 20), pointwise, blend="cubic")
    with pytest.raises(bs.BadSetting, match=r"name\.npy"):
        bs.stitch(bs.patches(IMAGE, 20), pointwise, "a.png")


@pytest.mark.parametrize(
    ("fill", "dtype"), [(-1, np.uint8), (np.nan, np.int16), (0.5, np.int32), (2, np.bool_), (300, np.uint8)]
)
def test_a_fill_that_predictions_cannot_have_is_refused_before_all_are_predicted(fill, dtype):
    predicted = []

    def predict(x):
        predicted.append(len(x))
        return x[..., 0].astype(dtype)

    source = bs.patches(IMAGE, 30, stride=20)
    with pytest.raises(bs.BadSetting, match=f"fill={fill}"):
        bs.stitch(source, predict, fill=fill, batch_size=4, memory="64 MiB")
    assert predicted == [4]


def test_places_that_cannot_be_written_are_refused_with_what_to_do(tmp_path):
    source = bs.patches(IMAGE, 30)
    with pytest.raises(bs.BadSetting, match="is an address: write to a file"):
        bs.stitch(source, pointwise, "s3://bucket/out.npy", memory="64 MiB")
    with pytest.raises(bs.NotFound, match=r"folder .*none does not exist"):
        bs.stitch(source, pointwise, tmp_path / "none" / "out.npy", memory="64 MiB")


def test_tensors_with_gradients_are_predictions():
    torch = pytest.importorskip("torch")
    source = bs.patches(IMAGE, 30)
    stitched = bs.stitch(source, lambda x: torch.from_numpy(pointwise(x)).requires_grad_(), memory="64 MiB")
    assert (stitched == pointwise(IMAGE)).all()


@pytest.mark.parametrize("block", ["20 KiB", "1 MiB"])
def test_a_file_has_the_same_pixels_whatever_order_cells_are_finished_in(block, tmp_path):
    source = bs.patches(IMAGE, 24, stride=12, block=block)
    bs.stitch(source, pointwise, tmp_path / "a.npy", memory="64 MiB")
    assert (np.load(tmp_path / "a.npy") == pointwise(IMAGE)).all()
