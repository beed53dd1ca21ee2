"""What a lazy array does is what the array in its place does: values, dtypes, and kinds of errors."""

import contextlib
import operator
import pickle
import warnings

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tests.properties import examples

import bitesize as bs

DTYPES = [
    "?", "u1", "i1", "<u2", ">i2", "<i4", ">u4", "<i8", ">i8", "<u8", "<f2", ">f2", "<f4", ">f4", "<f8", ">f8", "g", "<c8", ">c16",
    "<U3", ">U2", "S2", "<M8[s]", ">M8[D]", "<m8[s]", ">m8[D]",
]  # fmt: skip


@st.composite
def arrays(draw, dtypes=DTYPES, min_dims=0, max_dims=4):
    """An array, and the lazy array of its halves, cast while reading where the byte order is the other one."""
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    shape = draw(hnp.array_shapes(min_dims=min_dims, max_dims=max_dims, min_side=0, max_side=4))
    values = np.asarray(np.random.default_rng(draw(st.integers(0, 99))).integers(-3, 4, shape))
    values = np.asarray(np.abs(values)) if dtype.kind in "uM" else values
    whole = values.astype(dtype)
    if dtype.kind in "fcmM" and whole.size and draw(st.booleans()):
        whole.flat[draw(st.integers(0, whole.size - 1))] = np.nan if dtype.kind in "fc" else "NaT"
    if not whole.ndim:
        return whole, bs.stack([whole]).reshape(()).astype(dtype)
    axis = draw(st.integers(0, whole.ndim - 1))
    cut = draw(st.integers(0, whole.shape[axis]))
    return whole, bs.concatenate(np.split(whole, [cut], axis), axis).astype(dtype)


@contextlib.contextmanager
def quiet():
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def outcome(function, argument):
    with quiet():
        try:
            return function(argument), None
        except (TypeError, ValueError, IndexError, OverflowError) as error:
            return None, error


def same_error(own, error):
    """Require that an error is of NumPy's kind; numbers that no index can have are out of bounds."""
    for kind, allowed in ((TypeError, TypeError), (ValueError, ValueError), (IndexError, IndexError), (OverflowError, (OverflowError, IndexError))):  # fmt: skip
        if isinstance(error, kind):
            assert isinstance(own, allowed), (error, own)
            return
    raise AssertionError(error)


def same_outcome(function, whole, lazy, exact=True):
    """Compare what a function makes of an array and of the lazy array."""
    expected, error = outcome(function, whole)
    got, own = outcome(function, lazy)
    if error is not None:
        same_error(own, error)
        return
    if own is not None:
        raise own
    if isinstance(expected, tuple | list):
        assert len(got) == len(expected)
        for one, other in zip(got, expected, strict=True):
            same_array(one, other, exact)
        return
    same_array(got, expected, exact)


def same_array(got, expected, exact=True):
    assert np.shape(got) == np.shape(expected)
    if not isinstance(expected, np.ndarray | np.generic):
        assert type(got) is type(expected)
    elif isinstance(expected, np.generic) and isinstance(
        got, bs.LazyArray
    ):  # scalars have no byte order, and text its own length
        assert got.dtype.newbyteorder("=") == expected.dtype or got.dtype.kind == expected.dtype.kind in "US"
    else:
        assert got.dtype == expected.dtype
    with quiet():
        read = np.asarray(got)
    if exact or read.dtype.kind not in "fc":
        assert np.array_equal(read, expected, equal_nan=read.dtype.kind in "fcmM")
    else:
        np.testing.assert_allclose(read, expected, rtol=8 * np.finfo(read.dtype).eps, atol=8 * np.finfo(read.dtype).eps)


AXES = st.one_of(st.none(), st.integers(-4, 4), st.booleans(), st.tuples(st.integers(-3, 2), st.integers(-3, 2)))
AXIS = st.one_of(st.integers(-4, 4), st.booleans(), st.just(1.0))


@examples(300)
@given(arrays(), st.data())
def test_single_booleans_are_indices_of_no_axis(pair, data):
    whole, lazy = pair
    flag = st.sampled_from([True, False, np.True_, np.False_, np.array(True)])
    entry = st.one_of(
        st.integers(-3, 3), st.just(None), st.slices(4), flag, st.lists(st.integers(-2, 2), max_size=3), st.just(Ellipsis)
    )
    index = (*data.draw(st.lists(entry, max_size=4)), data.draw(flag))
    index = tuple(data.draw(st.permutations(index)))
    same_outcome(lambda x: x[index], whole, lazy)
    if len(index) == 1:
        same_outcome(lambda x: x[index[0]], whole, lazy)


@examples(100)
@given(arrays(max_dims=2), st.integers(60, 70), st.sampled_from([1, -1]))
def test_numbers_beyond_64_bits_are_out_of_bounds(pair, bits, sign):
    for index in (sign << bits, (sign << bits,), (Ellipsis, sign << bits), slice(sign << bits), [sign << bits]):
        same_outcome(lambda x, index=index: x[index], *pair)


@examples(300)
@given(arrays(), st.data())
def test_masks_of_any_shape_select_what_numpy_selects(pair, data):
    whole, lazy = pair
    mask = data.draw(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)))
    fitting = np.random.default_rng(0).random(whole.shape[: data.draw(st.integers(0, whole.ndim))]) < 0.5
    for index in (mask, fitting, (Ellipsis, mask), (fitting, None)):
        same_outcome(lambda x, index=index: x[index], whole, lazy)


@examples(400)
@given(arrays(), st.data())
def test_shapes_and_orders_change_as_in_numpy(pair, data):
    whole, lazy = pair
    axis, other, axes = data.draw(AXIS), data.draw(AXIS), data.draw(AXES)
    order = data.draw(st.sampled_from("CF"))
    shape = data.draw(st.sampled_from([(True, -1), (-1,), (2, -1), (-1, 3), (0, -1), whole.shape[::-1], (-1, -1), (1, *whole.shape), (2.0, -1)]))  # fmt: skip
    turns = data.draw(st.integers(-5, 5))
    for function in (
        lambda x: x.swapaxes(axis, other),
        lambda x: np.swapaxes(x, axis, other),
        lambda x: x.squeeze(axes),
        lambda x: np.squeeze(x, axis=axes),
        lambda x: x.ravel(order),
        lambda x: np.ravel(x, order),
        lambda x: x.flatten(order),
        lambda x: x.reshape(*shape),
        lambda x: x.reshape(shape, order=order),
        lambda x: np.reshape(x, shape, order),
        lambda x: np.flip(x, axes),
        lambda x: np.flipud(x),
        lambda x: np.fliplr(x),
        lambda x: np.rot90(x, turns),
        lambda x: np.rollaxis(x, axis, other),
        lambda x: np.moveaxis(x, axis, other),
        lambda x: np.expand_dims(x, axes),
        lambda x: np.matrix_transpose(x),
        lambda x: x.mT,
        lambda x: x.T,
        lambda x: np.atleast_1d(x),
        lambda x: np.atleast_2d(x, x),
        lambda x: np.atleast_3d(x),
        lambda x: np.dsplit(x, 2),
    ):
        same_outcome(function, whole, lazy)


@pytest.mark.skipif(not hasattr(np, "unstack"), reason="since NumPy 2.1")
@examples(60)
@given(arrays(), AXIS)
def test_unstack_parts_an_axis(pair, axis):
    same_outcome(lambda x: np.unstack(x, axis=axis), *pair)


@examples(200)
@given(arrays(min_dims=1), st.data())
def test_what_is_flipped_or_taken_is_indexed_as_in_numpy(pair, data):
    whole, lazy = pair
    axis = data.draw(st.integers(0, whole.ndim - 1))
    entries = data.draw(st.lists(st.integers(0, max(0, whole.shape[axis] - 1)), max_size=5)) if whole.shape[axis] else []
    for function in (lambda x: np.flip(x, axis), np.flip, lambda x: np.take(x, np.array(entries, int), axis), lambda x: np.flip(np.take(x, np.array(entries, int), axis))):  # fmt: skip
        made, expected = function(lazy), function(whole)
        assert isinstance(made, bs.LazyArray)
        index = data.draw(hnp.basic_indices(expected.shape, allow_newaxis=True, allow_ellipsis=True))
        same_outcome(lambda x, index=index: x[index], expected, made)
        rows = data.draw(st.lists(st.integers(0, max(0, len(expected) - 1)), max_size=4))
        same_outcome(lambda x, rows=rows: x[rows], expected, made)
        same_outcome(lambda x: x, expected, pickle.loads(pickle.dumps(made)))


@examples(300)
@given(arrays(), st.data())
def test_entries_are_taken_as_numpy_takes_them(pair, data):
    whole, lazy = pair
    axis = data.draw(st.one_of(st.none(), AXIS))
    # NumPy never ends where numbers are wrapped around an axis without entries.
    mode = data.draw(st.sampled_from(["raise", "clip", "wrap"][: 3 if whole.size else 2]))
    indices = data.draw(
        st.one_of(
            st.integers(-5, 5), st.lists(st.integers(-5, 5), max_size=4), st.lists(st.lists(st.booleans(), min_size=2, max_size=2), max_size=2),
            hnp.arrays(st.sampled_from([np.int8, np.uint64, np.float32, np.bool_]), hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3),
                       elements=st.integers(0, 1)),
        )
    )  # fmt: skip
    same_outcome(lambda x: np.take(x, indices, axis, mode=mode), whole, lazy)
    same_outcome(lambda x: x.take(indices, axis=axis, mode=mode), whole, lazy)


@examples(300)
@given(arrays(), st.data())
def test_values_are_limited_chosen_and_rounded_as_in_numpy(pair, data):
    whole, lazy = pair
    numbers = st.one_of(
        st.none(), st.integers(-2, 300), st.floats(-2, 2), st.just(np.float32(1)), st.just(np.datetime64(1, "s"))
    )
    low, high = data.draw(numbers), data.draw(numbers)
    scalar = data.draw(st.one_of(st.integers(0, 300), st.floats(-2, 2), st.just("ab"), st.just(np.int8(3)), st.just(True)))
    mask = np.random.default_rng(0).random(whole.shape) < 0.5
    for function in (
        lambda x: np.clip(x, low, high),
        lambda x: x.clip(low, high),
        lambda x: np.clip(x, min=low),
        lambda x: np.where(mask, x, scalar),
        lambda x: np.where(x, scalar, x),
        lambda x: np.where(x == x, x, whole),
        lambda x: np.round(x, 1),
        lambda x: x.round(),
        lambda x: x.conj(),
        np.real,
        np.imag,
        lambda x: np.nan_to_num(x, nan=2),
        lambda x: np.isclose(x, whole, equal_nan=True),
        lambda x: np.isclose(x, 1, rtol=0.5),
        lambda x: np.allclose(x, whole),
        lambda x: np.allclose(x, 0.5, atol=2),
        lambda x: np.array_equal(x, whole),
        lambda x: np.array_equal(x, whole, equal_nan=True),
    ):
        same_outcome(function, whole, lazy)
    if whole.dtype.kind in "biufc":
        assert isinstance(np.where(mask, lazy, 1), bs.LazyArray)
        assert isinstance(np.isclose(lazy, whole), bs.LazyArray)


@examples(300)
@given(arrays(), AXES, st.booleans(), st.sampled_from([None, "f4", "i8", "c8"]))
def test_reductions_are_of_numpys_type_and_value(pair, axes, keepdims, dtype):
    for name in ("min", "max", "any", "all", "argmin", "argmax", "count_nonzero", "ptp"):
        same_outcome(lambda x, name=name: getattr(np, name)(x, axis=axes, keepdims=keepdims), *pair)
    for name in ("sum", "prod", "mean"):
        function = getattr(np, name)
        same_outcome(lambda x, f=function: f(x, axis=axes, keepdims=keepdims), *pair, exact=False)
        if name != "mean" or pair[0].dtype.kind not in "fc":
            same_outcome(lambda x, f=function: f(x, axis=axes, keepdims=keepdims, dtype=dtype), *pair, exact=False)
    for name in ("argmin", "argmax", "min", "sum", "prod"):
        same_outcome(lambda x, name=name: getattr(x, name)(), *pair, exact=False)


@pytest.mark.parametrize("name", ["argmin", "argmax"])
def test_the_first_of_equal_values_is_found_over_many_blocks(monkeypatch, name):
    import bitesize.lazy.reduce as reduce

    for block in ("BLOCK", "LARGE_BLOCK"):
        monkeypatch.setattr(reduce, block, 1 << 9)
    for dtype in ("i8", "f8", "c16", "U2", "M8[s]"):
        whole = np.random.default_rng(1).integers(0, 4, (40, 6, 7)).astype(dtype)
        if dtype == "f8":
            whole[30, 2, 3] = np.nan
        lazy = bs.concatenate([whole[:13], whole[13:]])
        for axis in (None, 0, 1, 2, -1):
            same_outcome(lambda x, axis=axis: getattr(np, name)(x, axis), whole, lazy)
            same_outcome(lambda x, axis=axis: getattr(np, name)(x, axis, keepdims=True), whole, lazy)
        if dtype != "U2":
            same_outcome(lambda x: np.prod(x, axis=0), whole, lazy, exact=False)
        same_outcome(lambda x: np.count_nonzero(x, axis=(0, 2)), whole, lazy)


@examples(150)
@given(arrays(dtypes=["<f2", ">f2"], min_dims=1))
def test_deviations_of_half_floats_are_at_least_as_exact_as_numpys(pair):
    whole, lazy = pair
    whole = whole * np.float16(300)  # squares overflow in float16, where NumPy calculates
    lazy = lazy * np.float16(300)
    for name in ("std", "var", "mean"):
        exact = outcome(lambda x, name=name: getattr(np, name)(x.astype("f8")).astype("f2"), whole)[0]
        got = outcome(lambda x, name=name: getattr(np, name)(x), lazy)[0]
        assert got.dtype == np.float16
        np.testing.assert_allclose(got, exact, rtol=2e-3)


@examples(300)
@given(arrays(), st.data())
def test_membership_and_single_values_are_pythons(pair, data):
    whole, lazy = pair
    value = data.draw(
        st.one_of(st.integers(-2, 3), st.just("1"), st.just(None), st.just(1.0), st.just(np.datetime64(1, "s")))
    )
    numbers = data.draw(
        st.one_of(*(st.lists(st.one_of(st.integers(-4, 4), odd), max_size=3) for odd in (st.booleans(), st.just(1 << 64))))
    )
    for function in (
        lambda x: value in x,
        lambda x: x.tolist(),
        lambda x: x.item(),
        lambda x: x.item(*numbers),
        lambda x: x.item(tuple(numbers)),
        lambda x: x[()],
        bool,
        float,
        int,
        complex,
        operator.index,
        lambda x: format(x, ".2f") if x.size else "",
        lambda x: f"{x.reshape(-1)[0]}",
        len,
    ):
        expected, error = outcome(function, whole)
        got, own = outcome(function, lazy)
        if error is None and own is None:
            assert type(got) is type(expected)
            np.testing.assert_equal(got, expected)
        else:
            assert error is not None, own
            same_error(own, error)


@examples(300)
@given(arrays(), st.sampled_from(DTYPES), st.booleans())
def test_kinds_that_cannot_be_compared_are_unequal_and_no_operands(pair, dtype, scalar):
    whole, lazy = pair
    other = np.ones(whole.shape, "i1").astype(dtype)
    other = other.reshape(-1)[0] if scalar and other.size else other
    for function in (
        lambda x: x == other,
        lambda x: x != other,
        lambda x: np.equal(x, other),
        lambda x: np.not_equal(x, other),
        lambda x: x < other,
        lambda x: x == bs.concatenate([other]) if isinstance(x, bs.LazyArray) and np.ndim(other) else x == other,
        lambda x: np.array_equal(x, other),
    ):
        same_outcome(function, whole, lazy)
    made, error = outcome(lambda x: np.asarray(other) == x, lazy)
    if error is None:
        same_array(made, other == whole)
    else:
        assert isinstance(error, bs.NotLazy)
        assert "on the left" in str(error)


@examples(400)
@given(st.lists(st.sampled_from(DTYPES), min_size=1, max_size=3), st.one_of(st.none(), st.sampled_from([*DTYPES, "U", "M8", "O"])),
       st.sampled_from(["no", "equiv", "safe", "same_kind", "unsafe", None]), st.sampled_from(["concatenate", "stack", "vstack", "hstack"]))  # fmt: skip
def test_parts_are_cast_or_refused_as_numpy_does(dtypes, dtype, casting, name):
    assume(
        dtype not in ("<U3", ">U2", "S2") or "M8" not in "".join(dtypes)
    )  # dates need longer text, and fail while it is read
    parts = [np.arange(i, i + 3).astype(each) for i, each in enumerate(dtypes)]
    options = ({} if dtype is None else {"dtype": dtype}) | ({} if casting is None else {"casting": casting})
    expected, error = outcome(lambda parts: getattr(np, name)(parts, **options), parts)
    lazies = [bs.concatenate([part]).astype(part.dtype) for part in parts]
    for function in [getattr(np, name), *([getattr(bs, name)] if hasattr(bs, name) else [])]:
        got, own = outcome(lambda lazies, function=function: function(lazies, **options), lazies)
        if error is not None:
            assert isinstance(own, TypeError if isinstance(error, TypeError) else ValueError), (error, own)
        elif expected.dtype.hasobject or expected.dtype in (np.dtype("M8"), np.dtype("m8")):  # what no lazy array holds
            assert isinstance(own, ValueError)
        else:
            if own is not None:
                raise own
            assert isinstance(got, bs.LazyArray)
            same_array(got, expected)


@examples(150)
@given(st.lists(arrays(dtypes=["<i4"], max_dims=3), min_size=1, max_size=3), AXIS)
def test_arrays_are_joined_in_depth_and_as_columns(pairs, axis):
    wholes, lazies = zip(*pairs, strict=True)
    for function in (np.dstack, np.column_stack, np.vstack, np.hstack, np.stack, np.concatenate,
                     lambda parts: np.concatenate(parts, axis), lambda parts: np.append(parts[0], parts[-1], axis)):  # fmt: skip
        same_outcome(function, wholes, lazies)
    same_outcome(lambda parts: np.append(parts[0], parts[-1]), wholes, lazies)


@pytest.mark.parametrize(
    "name", ["copy", "sort", "argsort", "cumsum", "nonzero", "repeat", "dot", "view", "fill", "strides", "flat", "data"]
)
def test_methods_that_need_it_whole_are_refused_with_the_ways_on(name):
    lazy = bs.concatenate([np.zeros((3, 4))])
    with pytest.raises(
        bs.NotLazy, match=rf"array\.{name} .*np\.asarray\(lazy\) loads all of it \(96 B\).*lazy\[a:b\].*lazy\.chunks"
    ):
        getattr(lazy, name)
    assert not hasattr(lazy, name)
    assert isinstance(lazy, bs.LazyArray)
    with pytest.raises(AttributeError, match="no attribute 'columns'"):
        _ = lazy.columns
    assert not hasattr(lazy, "__array_interface__")


def test_what_depends_on_memory_or_would_change_values_is_refused():
    lazy = bs.concatenate([np.zeros((3, 4))])
    for function in (
        lambda x: x.reshape(12, order="A"), lambda x: x.ravel("K"), lambda x: x.reshape(12, copy=True),
        lambda x: np.where(x), lambda x: np.take(x, [0], out=np.zeros(1)), lambda x: np.copy(x),
        lambda x: x.__setitem__(0, 1), lambda x: np.clip(x, 0, 1, out=np.zeros((3, 4))),
    ):  # fmt: skip
        with pytest.raises(bs.NotLazy):
            function(lazy)
    with pytest.raises(ValueError, match="order must be"):
        lazy.reshape(12, order="X")


def test_a_list_that_cannot_fit_is_refused(tmp_path):
    with (tmp_path / "huge.npy").open("wb") as file:  # sparse: takes no disk
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": (10**12,)})
        file.truncate(file.tell() + 10**12)
    huge = bs.concatenate([tmp_path / "huge.npy"])
    with pytest.raises(bs.DoesNotFit, match=r"a list of .* needs 3\d TiB"):
        huge.tolist()
    assert huge.item(-1) == 0
    assert huge.take([5, 10**11])[:].tolist() == [0, 0]
    assert np.flip(huge)[:3].tolist() == [0, 0, 0]


def test_floats_are_no_entries_even_in_a_list():
    # NumPy cuts the fractions off in a list, and refuses an array of floats.
    with pytest.raises(TypeError, match="Cannot cast"):
        bs.concatenate([np.arange(3)]).take([1.5])


def test_masked_values_are_not_taken_for_values():
    masked = np.ma.array([1, 2, 3], mask=[False, True, False])
    with pytest.raises(bs.BadSetting, match="filled"):
        bs.concatenate([masked])
    assert bs.concatenate([masked.filled(0)])[:].tolist() == [1, 0, 3]


@pytest.mark.parametrize("dtype", ["g", ">g", "G"])
def test_unused_bytes_of_long_doubles_are_saved_as_zeros(tmp_path, dtype):
    whole = np.linspace(0, 1, 5000).astype(dtype)
    raw = whole.view(np.uint8).reshape(-1, np.dtype("g").itemsize)
    if np.finfo(whole.dtype).nmant != 63:
        pytest.skip("a long double has no unused bytes here")
    used = np.arange(raw.shape[1]) < 10
    used = used if whole.dtype.isnative else used[::-1]
    raw[:, ~used] = 0xAB
    for name, lazy in (("a", bs.concatenate([whole]).astype(dtype)), ("b", (bs.concatenate([whole]) * 1).astype(dtype))):
        saved = np.load(lazy.save(tmp_path / name))
        assert np.array_equal(saved, whole)
        assert saved.dtype == whole.dtype
        assert not saved.view(np.uint8).reshape(-1, raw.shape[1])[:, ~used].any()
