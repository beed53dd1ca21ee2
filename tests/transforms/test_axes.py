"""Where output pixels lie along one axis: the same centers for a whole image and for each part of it."""

from hypothesis import given
from hypothesis import strategies as st
from tests.properties import examples

from bitesize.transforms.axes import axes_of
from bitesize.transforms.view import View

sides = st.integers(1, 20_000)


@examples(500)
@given(sides, sides, st.data())
def test_a_part_at_whole_pixels_has_the_centers_of_the_whole(source, size, data):
    left = data.draw(st.integers(0, size - 1))
    width = data.draw(st.integers(1, size - left))
    orientation, mirrored = data.draw(st.integers(1, 8)), data.draw(st.booleans())
    view = View(source, source)
    view.rescale(size, size)
    view.crop(left, left, width, width)
    if mirrored:
        view.mirror()
    view.to_stored(orientation, source, source, 1.0)
    for axis in axes_of(view, source, source)[:2]:
        assert axis.origin == 0.0
        assert axis.step == source / size
        assert axis.size == width
        assert axis.begin in (left, size - left - width)  # from either end, as the image is stored
        assert axis.whole == (source == size)


def test_a_part_between_pixels_keeps_its_place_and_is_no_crop():
    view = View(100, 80)
    view.crop(10.25, 7.5, 50, 40)
    x, y, turned = axes_of(view, 100, 80)
    assert (x.origin, x.begin, x.step, x.size) == (10.25, 0, 1.0, 50)
    assert (y.origin, y.begin, y.step, y.size) == (7.5, 0, 1.0, 40)
    assert not any((x.whole, y.whole, turned))


def test_only_pixels_whose_centers_lie_in_the_image_are_counted():
    view = View(10, 10)
    view.crop(-3, 4, 8, 9)
    x, y, _ = axes_of(view, 10, 10)
    assert (x.begin, x.size, x.skipped) == (0, 5, 3)
    assert (y.begin, y.size, y.skipped) == (4, 6, 0)
