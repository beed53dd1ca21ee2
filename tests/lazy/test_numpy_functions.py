"""NumPy's own functions on lazy arrays: lazy where they can be, streamed where they must read, refused else."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.lazy.making import make_part
from tests.properties import examples

import bitesize as bs


@pytest.fixture
def whole():
    return np.random.default_rng(0).integers(0, 255, (12, 6, 4), np.uint8)


@pytest.fixture
def lazy(tmp_path, whole):
    return bs.concatenate([make_part("npy", tmp_path, 0, whole[:5]), make_part("fortran", tmp_path, 1, whole[5:])])


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.concatenate([x, x], axis=1),
        lambda x: np.concatenate([x, np.zeros((1, 6, 4))]),
        lambda x: np.concatenate([x, x], axis=None),
        lambda x: np.stack([x, x], axis=-1),
        lambda x: np.stack([x, x]),
        lambda x: np.vstack([x, x]),
        lambda x: np.hstack([x, x]),
        lambda x: np.split(x, 3)[1],
        lambda x: np.split(x, [2, 5], axis=1)[2],
        lambda x: np.array_split(x, 5)[0],
        lambda x: np.vsplit(x, 2)[1],
        lambda x: np.hsplit(x, 2)[0],
        lambda x: np.expand_dims(x, (0, -1)),
        lambda x: np.squeeze(np.expand_dims(x, 1)),
        lambda x: np.moveaxis(x, 0, -1),
        lambda x: np.reshape(x, (24, -1)),
        lambda x: x.reshape(12, -1),
        lambda x: x.reshape([2, 6, 24]),
        lambda x: np.ravel(x),
        lambda x: np.transpose(x, (1, 0, 2)),
        lambda x: x.T,
        lambda x: x.astype(np.float32),
        lambda x: x * np.float32(1 / 255) - 0.5,
        lambda x: x / 255,
        lambda x: 255 - x,
        lambda x: (x - x.mean(axis=0)) / np.array([1.0, 2.0, 3.0, 4.0]),
        lambda x: x > 100,
        lambda x: np.sqrt(x),
        lambda x: np.minimum(x, 77),
        lambda x: x[2:] if isinstance(x, np.ndarray) else x.slice(2),
        lambda x: -x.astype(np.int16) ** 2 // 3,
        lambda x: x + x,
        lambda x: ~(x < 3) | (x == 200),
    ],
    ids=range(33),
)  # fmt: skip
def test_these_stay_lazy_and_mean_the_same(lazy, whole, function):
    got, expected = function(lazy), function(whole)
    assert isinstance(got, bs.LazyArray)
    assert (got.shape, got.dtype) == (expected.shape, expected.dtype)
    assert np.array_equal(np.asarray(got), expected)
    assert np.array_equal(got[-1], expected[-1])
    assert np.array_equal(got[..., ::2], expected[..., ::2])


@pytest.mark.filterwarnings("ignore:Degrees of freedom", "ignore:invalid value", "ignore:divide by zero")
@examples(80)
@given(
    st.sampled_from(["u1", "i2", "i8", "f2", "f4", "f8", "?", "c16"]), st.sampled_from([None, 0, 1, 2, -1, (0, 2), (0, 1, 2), ()]),
    st.booleans(), st.integers(0, 99), st.sampled_from([0, 1])
)  # fmt: skip
def test_reductions_are_those_of_float64(dtype, axis, keepdims, seed, ddof):
    random = np.random.default_rng(seed)
    whole = (random.normal(1e4 if dtype == "f8" else 40, 9, (20, 5, 7))).astype(dtype)
    with tempfile.TemporaryDirectory() as folder:
        lazy = bs.concatenate([make_part("npy", Path(folder), 0, whole[:9]), make_part("npz", Path(folder), 1, whole[9:])])
        wide = whole.astype(np.result_type(dtype, np.float64))
        for name in ("sum", "mean", "var", "std", "min", "max", "any", "all"):
            options = {"axis": axis, "keepdims": keepdims} | ({"ddof": ddof} if name in ("var", "std") else {})
            expected = getattr(np, name)(whole, **options)
            got = getattr(np, name)(lazy, **options)
            assert np.shape(got) == np.shape(expected)
            assert np.asarray(got).dtype == np.asarray(expected).dtype
            assert isinstance(got, np.ndarray) == isinstance(expected, np.ndarray)
            exact = getattr(np, name)(wide, **options) if name not in ("any", "all") else expected
            precision = (
                1e-12 if np.asarray(expected).dtype.kind not in "fc" else max(1e-12, 2 * np.finfo(expected.dtype).eps)
            )
            if name == "sum" and dtype not in ("f2",):
                exact = np.sum(whole, axis=axis, keepdims=keepdims, dtype=np.asarray(expected).dtype)
            np.testing.assert_allclose(got, exact, rtol=precision * 8)


def test_a_small_spread_around_a_large_mean_keeps_its_digits(monkeypatch):
    import bitesize.lazy.reduce as reduce

    for name in ("BLOCK", "LARGE_BLOCK"):
        monkeypatch.setattr(reduce, name, 1 << 12)  # many blocks
    whole = 1e9 + np.random.default_rng(0).normal(0, 1e-2, (4000, 3))
    lazy = bs.concatenate([whole[:1500], whole[1500:]])
    for axis in (None, 0, 1):
        np.testing.assert_allclose(lazy.var(axis), whole.var(axis), rtol=1e-6)
        np.testing.assert_allclose(lazy.mean(axis), whole.mean(axis), rtol=1e-14)
        assert np.array_equal(lazy.max(axis), whole.max(axis))


def test_nan_and_empty_axes_are_as_in_numpy():
    lazy = bs.concatenate([np.array([1.0, np.nan]), np.array([3.0])])
    assert np.isnan(lazy.min())
    assert np.isnan(lazy.mean())
    empty = bs.concatenate([np.zeros((0, 3))])
    assert empty.sum() == 0
    assert np.isnan(empty.mean(axis=0)).all()
    with pytest.raises(ValueError, match="axis of length 0 has no greatest value"):
        empty.max(axis=0)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.median(x), lambda x: np.sort(x), lambda x: np.cumsum(x), lambda x: np.linalg.norm(x), lambda x: np.add.reduce(x),
        lambda x: x @ x, lambda x: np.divmod(x, 2), lambda x: np.mean(x, where=True), lambda x: np.sum(x, out=np.zeros(())),
        lambda x: np.add(x, 1, out=np.zeros(x.shape)), lambda x: x + np.zeros((2, 12, 6, 4)), lambda x: np.unique(x),
    ],
    ids=range(12),
)  # fmt: skip
def test_what_would_need_it_whole_is_refused_with_the_ways_on(lazy, function):
    with pytest.raises(bs.NotLazy) as caught:
        function(lazy)
    assert isinstance(caught.value, TypeError)


def test_an_array_is_made_only_where_asked_for(lazy, whole):
    assert np.asarray(lazy).dtype == np.uint8
    assert np.asarray(lazy, dtype=np.float32).dtype == np.float32
    assert np.array_equal(np.array(lazy), whole)
    with pytest.raises(ValueError, match="copy=False"):
        np.array(lazy, copy=False)
    assert (np.shape(lazy), np.ndim(lazy), np.size(lazy), len(lazy)) == ((12, 6, 4), 3, 288, 12)
    assert not isinstance(lazy == whole, bool | np.bool_)
    assert (lazy == whole).all()
    assert np.array_equal(lazy, whole)
    with pytest.raises(ValueError, match="ambiguous"):
        bool(lazy)


def test_what_cannot_fit_is_refused_with_both_figures_and_the_ways_on(tmp_path):
    with (tmp_path / "huge.npy").open("wb") as file:  # sparse: takes no disk
        np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (1_000_000, 1_000_000)})
        file.truncate(file.tell() + 8 * 10**12)
    huge = bs.concatenate([tmp_path / "huge.npy"])
    for read in (np.asarray, lambda x: x[:], lambda x: x[: 10**5, :], lambda x: x[np.arange(10**5)]):
        with pytest.raises(
            bs.DoesNotFit, match=r"(7\.\d+ TiB|745 GiB|7\d\d GiB).* available .*lazy\.slice.*lazy\.chunks.*lazy\.save.*split"
        ):
            read(huge)
    assert huge[999_999, -3:].tolist() == [0, 0, 0]
    assert huge.slice(10, 12).reshape(4, -1)[1, :2].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("shapes", "axis", "message"),
    [
        ([], 0, "need at least one array"),
        ([(2, 3), (2, 4)], 0, r"along dimension 1 .*0.npy has size 3 \(\(2, 3\)\), and .*1.npy .* has size 4 \(\(2, 4\)\)"),
        ([(2, 3), (2,)], 0, r"must match in number: .*0.npy has 2 .*1.npy has 1"),
        ([()], 0, "zero-dimensional"),
        ([(2, 3)], 2, "axis 2 is out of bounds"),
    ],
    ids=range(5),
)
def test_what_does_not_fit_together_is_numpys_error_with_the_parts_name(tmp_path, shapes, axis, message):
    for i, shape in enumerate(shapes):
        np.save(tmp_path / f"{i}.npy", np.zeros(shape))
    paths = [tmp_path / f"{i}.npy" for i in range(len(shapes))]
    with pytest.raises(ValueError):
        np.concatenate([np.load(path) for path in paths], axis)
    with pytest.raises(ValueError, match=message):
        bs.concatenate(paths, axis)


def test_parts_that_are_no_arrays_are_refused_by_name(tmp_path):
    np.savez(tmp_path / "two.npz", a=np.zeros(2), b=np.zeros(3))
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    (tmp_path / "text.npy").write_text("hello")
    (tmp_path / "broken.npz").write_text("hello")
    for part, error, message in [
        ("nowhere.npy", bs.NotFound, "nowhere.npy does not exist"),
        ("two.npz", bs.NotFound, r'has 2 members: name one, such as ".*two.npz::NAME"; its members are a, b'),
        ("two.npz::c", bs.NotFound, "has no member 'c'"),
        ("objects.npy", bs.BadFile, "pickle"),
        ("text.npy", bs.BadFile, "not a .npy"),
        ("broken.npz", bs.BadFile, "cannot be read as an archive"),
    ]:
        with pytest.raises(error, match=message):
            bs.concatenate([f"{tmp_path}/{part}"])
    with pytest.raises(bs.NotFound, match=r"no file matches .*z\*\.npy"):
        bs.concatenate(str(tmp_path / "z*.npy"))
    with pytest.raises(bs.BadSetting, match="object"):
        bs.concatenate([np.array([None])])


def test_dtypes_are_promoted_as_numpy_does(tmp_path):
    kinds = ["u1", "i1", "i8", "u8", "f2", "f4", "f8", "c8", "?", "U3", "U7"]
    for first in kinds:
        for second in kinds:
            a, b = np.ones(2).astype(first), np.zeros(2).astype(second)
            try:
                expected = np.concatenate([a, b])
            except TypeError:
                with pytest.raises(TypeError):
                    bs.concatenate([a, b])
                continue
            got = bs.concatenate([a, b])
            assert got.dtype == expected.dtype
            assert np.array_equal(got[:], expected)
