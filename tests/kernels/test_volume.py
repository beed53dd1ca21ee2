"""Volumes are resampled along three axes as by their reference, and whole voxels are moved unchanged."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tests.properties import examples

from bitesize.kernels.filters import BICUBIC, BILINEAR, NEAREST
from bitesize.kernels.volume import resample_slices_reference
from bitesize.transforms.render_volume import VolumeCanvas, most_volume_values, plan_volume, render_volume
from bitesize.transforms.volume import VolumeView

sides = st.sampled_from([1, 2, 3, 7, 8, 9, 15, 17])
types = st.sampled_from(["u1", "f4"])


def volume(seed, shape, dtype):
    return (np.random.default_rng(seed).random(shape) * 200).astype(dtype)


def drawn(voxels, view):
    """Render a view, into float32."""
    sizes = (int(view.depth), int(view.height), int(view.width))
    plan = plan_volume(view, voxels.shape)
    assert plan.scratch <= most_volume_values(voxels.shape, sizes, True)
    canvas = VolumeCanvas((*sizes, voxels.shape[3]), np.dtype(np.float32), False, (0.0, 0.0))
    scratch = np.full(plan.scratch + 8, np.float32(77))
    out = np.empty((*sizes, voxels.shape[3]), np.float32)
    render_volume(voxels, view, plan, scratch[: plan.scratch], canvas, out)
    assert (scratch[plan.scratch :] == 77).all()
    return out


def new_view(voxels):
    depth, height, width, channels = voxels.shape
    view = VolumeView(depth, width, height)
    if channels not in (1, 3):
        view.spread(channels)
    return view


@examples(60)
@given(
    sides,
    sides,
    sides,
    sides,
    sides,
    sides,
    st.integers(1, 5),
    types,
    st.sampled_from([BILINEAR, BICUBIC]),
    st.integers(0, 99),
)
def test_resampling_is_the_reference(d, h, w, out_d, out_h, out_w, channels, dtype, kind, seed):
    voxels = volume(seed, (d, h, w, channels), dtype)
    view = new_view(voxels)
    view.kind = kind
    view.rescale(out_w, out_h)
    view.rescale_depth(out_d)
    expected = np.empty((out_d, out_h, out_w, channels))
    resample_slices_reference(voxels, kind, expected)
    np.testing.assert_allclose(drawn(voxels, view), expected, rtol=1e-4, atol=2e-3)


@examples(60)
@given(sides, sides, sides, st.integers(1, 5), types, st.integers(0, 7), st.booleans(), st.integers(0, 99))
def test_whole_voxels_are_moved_unchanged(d, h, w, channels, dtype, way, back, seed):
    voxels = volume(seed, (d, h, w, channels), dtype)
    view = new_view(voxels)
    view.turn(way % 4)
    expected = np.rot90(voxels, way % 4, (1, 2))
    if way >= 4:
        view.mirror()
        expected = expected[:, :, ::-1]
    if back:
        view.mirror_depth()
        expected = expected[::-1]
    np.testing.assert_array_equal(drawn(voxels, view), expected)


@examples(40)
@given(sides, sides, sides, sides, sides, sides, st.integers(1, 3), st.integers(0, 99))
def test_the_nearest_voxel_is_one_of_the_volume(d, h, w, out_d, out_h, out_w, channels, seed):
    voxels = volume(seed, (d, h, w, channels), "u1")
    view = new_view(voxels)
    view.kind = NEAREST
    view.rescale(out_w, out_h)
    view.rescale_depth(out_d)
    nearest = [np.floor((np.arange(n) + 0.5) * side / n).astype(int) for n, side in ((out_d, d), (out_h, h), (out_w, w))]
    np.testing.assert_array_equal(drawn(voxels, view), voxels[np.ix_(*nearest)])
