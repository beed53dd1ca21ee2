"""Masks move with their images, and keep their numbers."""

import numpy as np
import pytest
from PIL import Image
from tests.conftest import noise, write_jpeg

import bitesize as bs

STEPS = [
    bs.RandomResizedCrop((20, 24), scale=(0.3, 0.8)), bs.Flip(0.5, 0.5), bs.Rotate(20, mask_fill=9), bs.Zoom(0.3, mask_fill=9),
    bs.ColorJitter(0.2, 0.2, 0.2), bs.Normalize("imagenet"),
]  # fmt: skip


def segments(height, width, seed=0):
    """Make an image of flat gray levels, and the mask that numbers them."""
    random = np.random.default_rng(seed)
    mask = np.kron(random.integers(0, 5, (height // 10, width // 10)), np.ones((10, 10), int)).astype(np.uint8)
    return np.repeat((mask * 50)[..., None], 3, axis=-1), mask


@pytest.fixture
def folders(tmp_path):
    for i in range(12):
        image, mask = segments(60 + 10 * (i % 3), 80, seed=i)
        (tmp_path / "images" / "street").mkdir(parents=True, exist_ok=True)
        (tmp_path / "masks" / "street").mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tmp_path / "images" / "street" / f"{i}.png")
        Image.fromarray(mask).save(tmp_path / "masks" / "street" / f"{i}.png")
    return tmp_path


def _open(folders):
    return bs.open(folders / "images", labels=folders / "masks")


def test_a_mask_gets_the_geometry_of_its_image_and_none_of_its_color(folders):
    geometry = [step for step in STEPS if not isinstance(step, bs.ColorJitter | bs.Normalize)]
    with bs.Loader(_open(folders), batch_size=12, transforms=geometry, memory="32 MiB", dtype="float32") as loader:
        for _ in range(3):
            batch = next(iter(loader))
            assert batch["y"].shape == (12, 20, 24)
            assert batch["y"].dtype == np.uint8
            # Flat levels: off the borders between segments the image says what the mask must be.
            levels = batch["x"][..., 0] / 50
            flat = np.abs(levels - levels.round()) < 1e-4
            inside = (batch["y"] != 9) & flat
            assert inside.mean() > 0.3
            assert (batch["y"][inside] == levels[inside].round()).mean() > 0.97
            loader.set_epoch(loader.epoch + 1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_that_is_turned_by_exif_and_an_upright_mask_meet(tmp_path, orientation):
    image, mask = segments(40, 60)
    back = {2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}  # what undoes each orientation
    stored = Image.fromarray(image)
    if orientation > 1:
        from PIL import ImageOps

        stored.getexif()[0x0112] = back[orientation]
        stored = ImageOps.exif_transpose(stored)
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    stored.save(tmp_path / "images" / "a.png", exif=exif)
    Image.fromarray(mask).save(tmp_path / "masks" / "a.png")
    with bs.Loader(_open(tmp_path), batch_size=1, transforms=[bs.CenterCrop((30, 50))], memory="16 MiB") as loader:
        batch = next(iter(loader))
    assert np.array_equal(batch["y"][0], mask[5:35, 5:55])
    assert np.array_equal(batch["x"][0], image[5:35, 5:55])


@pytest.mark.parametrize("kind", ["palette", "sixteen", "bits"])
def test_palettes_sixteen_bits_and_single_bits_keep_their_numbers(tmp_path, kind):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    mask = np.random.default_rng(0).integers(0, {"palette": 200, "sixteen": 60_000, "bits": 2}[kind], (20, 30))
    if kind == "palette":
        made = Image.fromarray(mask.astype(np.uint8)).convert("P")
        made.putpalette(np.random.default_rng(1).integers(0, 256, 768, np.uint8).tobytes())
    else:
        made = Image.fromarray(mask.astype(np.uint16)) if kind == "sixteen" else Image.fromarray(mask.astype(bool))
    made.save(tmp_path / "masks" / "a.png")
    if kind == "palette":
        mask = np.asarray(Image.open(tmp_path / "masks" / "a.png"))
    write_jpeg(tmp_path / "images" / "a.jpg", noise(20, 30))
    with bs.Loader(_open(tmp_path), batch_size=1, transforms=[bs.Flip(1.0), bs.Resize((40, 60))], memory="16 MiB") as loader:
        y = next(iter(loader))["y"][0]
    assert y.dtype == (np.uint16 if kind == "sixteen" else np.uint8)
    assert np.array_equal(y, np.kron(mask, np.ones((2, 2), int))[:, ::-1])


def test_masks_of_arrays_move_too():
    made = [segments(40, 60, seed=i) for i in range(8)]
    x, y = np.stack([image for image, _ in made]), np.stack([mask for _, mask in made])
    with bs.Loader(
        bs.open(x, y), batch_size=8, transforms=[bs.Flip(0.5, 0.5), bs.CenterCrop(20)], memory="16 MiB"
    ) as loader:
        batch = next(iter(loader))
    assert batch["y"].dtype == np.uint8
    assert np.array_equal(batch["x"][..., 0], batch["y"] * 50)
    with bs.Loader(bs.open(x, y), batch_size=8, memory="16 MiB", shuffle=False) as loader:
        assert np.array_equal(next(iter(loader))["y"], y)


def test_images_without_a_mask_are_listed(folders):
    (folders / "masks" / "street" / "3.png").unlink()
    with pytest.raises(bs.NotFound, match=r"1 of 12 images have no mask of the same name: .*3\.png"):
        _open(folders)


def test_masks_without_an_image_are_counted(folders):
    (folders / "images" / "street" / "3.png").unlink()
    assert _open(folders).left_out["masks without an image"] == 1


def test_a_mask_of_another_size_or_with_colors_is_a_bad_row(folders):
    Image.fromarray(noise(60, 80)).save(folders / "masks" / "street" / "0.png")
    Image.fromarray(np.zeros((61, 80), np.uint8)).save(folders / "masks" / "street" / "1.png")
    for row, problem in ((0, "one number per pixel"), (1, "61 pixels, but its image is 80 x 70")):
        with (
            bs.Loader(_open(folders).subset([5, row]), batch_size=2, transforms=STEPS, memory="32 MiB") as loader,
            pytest.raises(bs.BadFile, match=problem) as caught,
        ):
            next(iter(loader))
        assert f"{row}.png" in str(caught.value)


def test_masks_as_jpeg_are_not_even_looked_for(tmp_path):
    write_jpeg(tmp_path / "images" / "a.jpg", noise(20, 30))
    write_jpeg(tmp_path / "masks" / "a.jpg", noise(20, 30))
    with pytest.raises(bs.NotFound):
        _open(tmp_path)


def test_large_images_with_masks_are_read_alone(tmp_path):
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for i in range(6):  # incompressible: image and mask do not fit the read buffer, together or at all
        pixels = np.random.default_rng(i).integers(0, 256, (700, 700, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{i}.png", compress_level=0)
        Image.fromarray(pixels[..., 0]).save(tmp_path / "masks" / f"{i}.png", compress_level=0)
    with bs.Loader(_open(tmp_path), batch_size=6, transforms=[bs.CenterCrop(20)], memory="96 MiB", shuffle=False) as loader:
        batch = next(iter(loader))
    assert np.array_equal(batch["x"][..., 0], batch["y"])
    assert batch["x"].std() > 50


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["L", "P", "1", "I;16"])
def test_a_tiff_mask_is_turned_once(tmp_path, orientation, mode):
    exif = Image.Exif()
    exif[0x112] = orientation
    numbers = np.random.default_rng(orientation).integers(0, 2, (18, 31)).astype(np.uint8)
    for folder in ("i", "m"):
        (tmp_path / folder).mkdir()
    Image.fromarray(np.dstack([numbers * 200] * 3)).save(tmp_path / "i" / "a.png", exif=exif)
    if mode == "I;16":
        mask = Image.fromarray(numbers.astype(np.uint16))
    elif mode == "P":
        mask = Image.fromarray(numbers)
        mask.putpalette([0, 0, 0, 255, 0, 0])
    else:
        mask = Image.fromarray(numbers * (255 if mode == "1" else 1)).convert(mode)
    mask.save(tmp_path / "m" / "a.tif", exif=exif)
    with bs.Loader(bs.open(tmp_path / "i", labels=tmp_path / "m"), batch_size=1, memory="64 MiB") as loader:
        batch = next(iter(loader))
        assert np.array_equal(batch["x"][0, ..., 0] > 0, batch["y"][0] > 0)


@pytest.mark.parametrize("make", [lambda y: y.astype(np.float32), lambda y: y[..., None], lambda y: y.astype(np.int64)])
def test_labels_for_each_pixel_that_would_not_move_are_refused(make):
    x = np.zeros((4, 8, 8, 3), np.uint8)
    y = make(np.ones((4, 8, 8), np.uint8))
    with pytest.raises(bs.BadSetting, match=r"only .* move with"):
        bs.Loader(bs.open(x, y), batch_size=2, memory="16 MiB", transforms=[bs.Flip()])
    with bs.Loader(bs.open(x, y), batch_size=2, memory="16 MiB", transforms=[bs.Normalize(0.5, 0.5)]) as loader:
        assert next(iter(loader))["y"].shape == (2, *y.shape[1:])


def test_numbers_that_a_mask_cannot_hold_are_refused(tmp_path):
    x, y = np.zeros((2, 8, 8, 3), np.uint8), np.ones((2, 8, 8), np.int8)
    with pytest.raises(bs.BadSetting, match="mask_fill is 200, but the masks 'y' are int8"):
        bs.Loader(bs.open(x, y), batch_size=2, memory="16 MiB", transforms=[bs.CenterCrop(10, mask_fill=200)])
    for folder in ("i", "m"):
        (tmp_path / folder).mkdir()
    Image.fromarray(x[0]).save(tmp_path / "i" / "a.png")
    Image.fromarray(np.full((8, 8), -1, np.int32)).save(tmp_path / "m" / "a.tif")
    with (
        bs.Loader(bs.open(tmp_path / "i", labels=tmp_path / "m"), batch_size=1, memory="64 MiB") as loader,
        pytest.raises(bs.BadFile, match="the mask contains -1"),
    ):
        next(iter(loader))


def test_a_damaged_first_mask_is_named_as_the_mask(folders):
    for path in sorted((folders / "masks").rglob("*.png")):
        path.write_bytes(b"junk")
    with pytest.raises(bs.BadFile, match=r"the field 'y' of .*row 0"):
        bs.Loader(_open(folders), batch_size=1, memory="64 MiB", transforms=[bs.Resize(8)])
