"""Where pixels go, seen through the loader, against Pillow and NumPy."""

import numpy as np
import pytest
from PIL import Image
from tests.conftest import noise

import bitesize as bs


def one(pixels, *transforms, **options):
    with bs.Loader(
        bs.open(pixels[None]), batch_size=1, transforms=list(transforms), memory="64 MiB", shuffle=False, **options
    ) as loader:
        return next(iter(loader))["x"][0].copy()


def many(pixels, count, *transforms, **options):
    """Draw the same image many times, each with its own random numbers."""
    with bs.Loader(
        bs.open(np.broadcast_to(pixels, (count, *pixels.shape)).copy()), batch_size=count, transforms=list(transforms),
        memory="256 MiB", **options
    ) as loader:  # fmt: skip
        return next(iter(loader))["x"].copy()


def pillow(pixels, size, box=None):
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR, box=box)).astype(int)


@pytest.mark.parametrize(("height", "width"), [(60, 90), (90, 60), (64, 64), (7, 200)])
class TestResize:
    def test_cover_cuts_off_what_sticks_out(self, height, width):
        pixels = noise(height, width)
        scale = max(40 / height, 50 / width)
        inner = round(width * scale), round(height * scale)
        left, top = (inner[0] - 50) // 2, (inner[1] - 40) // 2
        expected = pillow(pixels, inner)[top : top + 40, left : left + 50]
        assert np.abs(one(pixels, bs.Resize((40, 50), "cover")) - expected).max() <= 1

    def test_pad_shows_all_of_it_within_the_fill(self, height, width):
        pixels = noise(height, width)
        scale = min(40 / height, 50 / width)
        inner = max(1, round(width * scale)), max(1, round(height * scale))
        out = one(pixels, bs.Resize((40, 50), "pad", fill=(10, 20, 30)))
        left, top = (50 - inner[0] + 1) // 2, (40 - inner[1] + 1) // 2
        inside = out[top : top + inner[1], left : left + inner[0]]
        assert np.abs(inside - pillow(pixels, inner)).max() <= 1
        around = np.ones((40, 50), bool)
        around[top : top + inner[1], left : left + inner[0]] = False
        assert (out[around] == (10, 20, 30)).all()

    def test_shorter_makes_the_shorter_side_that_long(self, height, width):
        pixels = noise(height, width)
        size = (32, int(32 * height / width)) if width < height else (int(32 * width / height), 32)
        left, top = (size[0] - 30) // 2, (size[1] - 30) // 2
        expected = pillow(pixels, size)[top : top + 30, left : left + 30]
        assert np.abs(one(pixels, bs.Resize(32, "shorter"), bs.CenterCrop(30)) - expected).max() <= 1

    def test_nearest_takes_pixels_as_they_are(self, height, width):
        pixels = noise(height, width)
        out = one(pixels, bs.Resize((30, 20), interpolation="nearest"))
        rows, columns = (np.arange(30) + 0.5) * height / 30, (np.arange(20) + 0.5) * width / 20
        # Where a center falls between two pixels either is right.
        choices = [
            pixels[np.ix_((rows + dy).astype(int), (columns + dx).astype(int))]
            for dy in (-1e-6, 1e-6)
            for dx in (-1e-6, 1e-6)
        ]
        assert np.any([(out == choice).all(axis=-1) for choice in choices], axis=0).all()


def test_rows_of_different_sizes_are_refused_before_work_starts():
    pixels = noise(20, 30)
    for transforms in ([bs.Resize(8, "shorter")], [bs.Rotate90()], [bs.Resize(8, "shorter"), bs.Flip()]):
        with pytest.raises(bs.BadSetting, match="different sizes"):
            one(pixels, *transforms)
    assert one(pixels, bs.Rotate90((1, 3))).shape == (30, 20, 3)
    assert one(pixels, bs.Resize(8), bs.Rotate90()).shape == (8, 8, 3)


def test_center_crop_is_a_slice_and_pads_what_is_smaller():
    pixels = noise(21, 30)
    assert np.array_equal(one(pixels, bs.CenterCrop((11, 20))), pixels[5:16, 5:25])
    out = one(pixels, bs.CenterCrop(40, fill=9))
    assert np.array_equal(out[10:31, 5:35], pixels)
    assert (out[:9] == 9).all()
    assert (out[:, 36:] == 9).all()


def test_random_crops_are_slices_anywhere_and_beyond_by_the_padding():
    pixels = np.stack(np.broadcast_arrays(np.arange(20)[:, None], np.arange(30)[None], 200), axis=-1).astype(np.uint8)
    for out in many(pixels, 100, bs.RandomCrop(12)):
        top, left = out[0, 0, :2].tolist()
        assert np.array_equal(out, pixels[top : top + 12, left : left + 12])
    padded = np.pad(pixels, ((3, 3), (3, 3), (0, 0)), constant_values=7)
    seen = set()
    for out in many(pixels, 300, bs.RandomCrop(12, padding=3, fill=7)):
        places = [(y, x) for y in range(15) for x in range(25) if np.array_equal(out, padded[y : y + 12, x : x + 12])]
        assert len(places) == 1
        seen.add(places[0])
    assert {y for y, _ in seen} == set(range(15))
    assert {x for _, x in seen} == set(range(25))


def test_quarter_turns_are_numpys():
    pixels = noise(20, 20)
    for k in range(4):
        assert np.array_equal(one(pixels, bs.Rotate90(k)), np.rot90(pixels, k))
    turns = [
        next(k for k in range(4) if np.array_equal(out, np.rot90(pixels, k))) for out in many(pixels, 200, bs.Rotate90())
    ]
    assert set(turns) == {0, 1, 2, 3}


def test_rotation_turns_counter_clockwise():
    pixels = np.zeros((41, 41, 3), np.uint8)
    pixels[20, 30:] = 255  # a ray to the right
    out = one(pixels, bs.Rotate((90, 90)))
    assert out[5, 20].min() > 200
    assert out[20, 35].max() == 0
    assert np.abs(out.astype(int) - np.rot90(pixels)).max() <= 1


def test_shear_slants_upright_lines():
    pixels = np.zeros((41, 41, 3), np.uint8)
    pixels[:, 20] = 255
    out = one(pixels, bs.Shear((45, 45)))
    assert [int(out[y, :, 0].argmax()) for y in (10, 20, 30)] == [10, 20, 30]
    assert np.array_equal(one(pixels, bs.Shear(0.0)), pixels)


def test_translate_moves_and_zoom_enlarges():
    pixels = noise(40, 40)
    moved = one(pixels, bs.Translate((0.25, 0.25), (-0.5, -0.5), fill=3))
    assert np.array_equal(moved[:20, 10:], pixels[20:, :30])
    assert (moved[20:] == 3).all()
    assert (moved[:, :10] == 3).all()
    assert np.abs(one(pixels, bs.Zoom((2, 2))) - pillow(pixels, (40, 40), (10, 10, 30, 30))).max() <= 1
    shrunk = one(pixels, bs.Zoom((0.5, 0.5), fill=8))
    assert np.abs(shrunk[10:30, 10:30] - pillow(pixels, (20, 20))).max() <= 1
    assert (shrunk[:10] == 8).all()


def test_one_image_has_one_color_around_it():
    with pytest.raises(bs.BadSetting, match="have different fill colors"):
        one(noise(9, 9), bs.Rotate(10, fill=1), bs.Shear(5, fill=2))
    one(noise(9, 9), bs.Resize(8, fill=4), bs.Shear(5, fill=2))  # a plain Resize shows nothing around


def test_cutout_hides_a_rectangle_of_its_share_and_colors_apply_to_it_afterwards():
    pixels = np.full((50, 60, 3), 100, np.uint8)
    out = many(pixels, 300, bs.Cutout((0.1, 0.2), p=0.75, fill=(0, 10, 20)))
    hidden = (out == (0, 10, 20)).all(axis=-1)
    assert ((out == 100).all(axis=-1) | hidden).all()
    shares = hidden.mean(axis=(1, 2))
    assert 0.65 < (shares > 0).mean() < 0.85
    assert shares[shares > 0].min() > 0.08
    assert shares.max() < 0.22
    for image in hidden[shares > 0]:
        rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
        assert image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    scaled = many(pixels, 10, bs.Cutout((0.3, 0.3), p=1, fill=50), bs.Flip(1, 1), bs.Scale(0.1, 1))
    assert np.unique(scaled.round(4)).tolist() == [6, 11]
    after = many(pixels, 10, bs.Scale(0.1, 1), bs.Cutout((0.3, 0.3), p=1, fill=50))
    assert np.unique(after.round(4)).tolist() == [11, 50]


def test_what_was_hidden_moves_with_the_image():
    pixels = np.zeros((20, 30, 3), np.uint8)
    steps = [
        bs.Flip(1.0, 1.0),
        bs.Rotate90(1),
        bs.Translate((0.1, 0.1), (0.2, 0.2)),
        bs.Zoom((2, 2)),
        bs.CenterCrop((20, 10)),
    ]
    hidden = many(pixels, 40, bs.Cutout((0.1, 0.4), p=1, fill=255), *steps)
    # The same, where the rectangle is in the pixels already.
    first = many(pixels, 40, bs.Cutout((0.1, 0.4), p=1, fill=255))
    for drawn, image in zip(hidden, first, strict=True):
        assert np.abs(drawn.astype(int) - one(image, *steps)).mean() < 20  # edges may differ by a pixel


def test_slanting_what_was_hidden_is_refused():
    with pytest.raises(bs.BadSetting, match="would rotate or shear the erased rectangle"):
        one(noise(9, 9), bs.Cutout(), bs.Rotate(10))


@pytest.mark.parametrize("chw", ["HWC", "CHW"])
def test_layouts_show_the_same(chw):
    pixels = noise(31, 43)
    steps = [bs.Resize((20, 30), "pad", fill=50), bs.Rotate((20, 20), fill=50), bs.Cutout((0.2, 0.2), p=1, fill=9)]
    out = one(pixels, *steps, layout=chw)
    assert np.array_equal(out if chw == "HWC" else out.transpose(1, 2, 0), one(pixels, *steps))


def test_random_numbers_depend_on_neither_threads_nor_batch_size_nor_rank():
    x = np.stack([noise(20, 24, seed=i) for i in range(48)])
    steps = [
        bs.RandomResizedCrop(16), bs.Flip(0.5, 0.5), bs.Rotate90(), bs.Rotate(30), bs.Shear(10, 5), bs.Translate(), bs.Zoom(),
        bs.ColorJitter(0.3, 0.3, 0.3, 0.1), bs.Grayscale(0.2), bs.Cutout(), bs.Normalize("imagenet"),
    ]  # fmt: skip

    def epoch(threads, batch_size, ranks=1):
        loaders = [
            bs.Loader(bs.open(x), batch_size=batch_size, transforms=steps, memory="32 MiB", threads=threads, seed=5,
                      shard=bs.Shard(rank, ranks), last="drop")
            for rank in range(ranks)
        ]  # fmt: skip
        parts = [[batch["x"].copy() for batch in loader] for loader in loaders]
        for loader in loaders:
            loader.close()
        return np.concatenate([np.concatenate(step) for step in zip(*parts, strict=True)])

    expected = epoch(1, 48)
    for threads, batch_size, ranks in ((4, 6, 1), (2, 12, 3), (16, 16, 2)):
        assert np.array_equal(epoch(threads, batch_size, ranks), expected)
