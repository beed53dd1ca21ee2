"""The default mode: 8-bit images are RGB, and others stay as they are."""

import io
import tarfile

import numpy as np
import pytest
from PIL import Image

import bitesize as bs
from bitesize.errors import BadFile, UnsupportedFile

WIDE = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)


def test_images_of_8_bits_are_rgb_and_nothing_is_said(tmp_path):
    for mode in ("L", "RGB", "RGBA", "P", "1", "LA"):
        Image.new(mode, (8, 8)).save(tmp_path / f"{mode}.png")
    Image.new("CMYK", (8, 8)).save(tmp_path / "c.jpg")
    source = bs.open(tmp_path)
    assert source.spec["x"] == bs.Encoded()
    assert source.choices == ()


def test_images_of_16_bits_stay_unchanged_and_a_line_says_so(tmp_path):
    Image.fromarray(WIDE).save(tmp_path / "x.png")
    source = bs.open(tmp_path)
    assert (source.spec["x"].channels, source.spec["x"].dtype) == (1, np.uint16)
    assert [str(choice) for choice in source.choices] == [
        'images are unchanged: 1 channel of uint16 (mode="RGB" changes this)'
    ]
    assert (source[0]["x"][..., 0] == WIDE).all()


def test_one_wide_image_among_others_decides(tmp_path):
    for i in range(20):
        Image.new("L", (64, 64)).save(tmp_path / f"{i:02}.png")
    Image.fromarray(WIDE).save(tmp_path / "99.png")
    assert bs.open(tmp_path).spec["x"].mode == "unchanged"


@pytest.mark.parametrize("mode", ["auto", "unchanged"])
def test_members_of_an_archive_are_looked_at_too(tmp_path, mode):
    file = io.BytesIO()
    Image.fromarray(WIDE).save(file, "PNG")
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for i in range(3):
            member = tarfile.TarInfo(f"{i}.png")
            member.size = len(file.getvalue())
            tar.addfile(member, io.BytesIO(file.getvalue()))
    source = bs.open(tmp_path / "x.tar", mode=mode)
    assert source.spec[source.primary].dtype == np.uint16


@pytest.mark.parametrize("labels", [None, [0, 1, 0]])
def test_the_mode_that_is_chosen_gives_the_fingerprint_of_the_mode_that_is_set(tmp_path, labels):
    (tmp_path / "a").mkdir()
    for i in range(3):
        Image.new("RGB", (8, 8)).save(tmp_path / "a" / f"{i}.png")
    (tmp_path / "table.csv").write_text("path,label\n" + "".join(f"a/{i}.png,{i}\n" for i in range(3)))
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        tar.add(tmp_path / "a", "a")
    for data in ("a", "table.csv", "x.tar"):
        own = labels if data != "table.csv" else None
        chosen, given = (bs.open(tmp_path / data, labels=own, mode=mode) for mode in ("auto", "RGB"))
        assert chosen.fingerprint() == given.fingerprint(), data


def test_an_image_of_another_kind_is_a_bad_row(tmp_path):
    Image.fromarray(WIDE).save(tmp_path / "0.png")
    Image.new("RGB", (64, 64)).save(tmp_path / "1.png")
    source = bs.open(tmp_path, mode="unchanged")
    found = bs.check(source, memory="32 MiB")
    assert [row.row for row in found.bad] == [1]
    assert "has 3 channels of uint8, but the first image has 1 channel of uint16" in found.bad[0].reason
    assert 'mode="RGB"' in found.bad[0].reason


def test_the_unchanged_mode_needs_one_image_that_can_be_read(tmp_path):
    (tmp_path / "x.png").write_bytes(b"no image")
    with pytest.raises(BadFile, match="not an image"):
        bs.open(tmp_path, mode="unchanged")
    assert bs.open(tmp_path).spec["x"].mode == "RGB"


def _values(dtype, channels):
    random = np.random.default_rng(0)
    shape = (64, 64) if channels == 1 else (64, 64, channels)
    if np.dtype(dtype).kind == "f":
        return random.random(shape).astype(dtype)
    return random.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, shape, dtype, endpoint=True)


@pytest.mark.parametrize("photometric", ["minisblack", "rgb"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "float32"])
def test_the_line_about_unchanged_images_names_a_setting_that_reads_them_or_none(tmp_path, dtype, channels, photometric):
    tifffile = pytest.importorskip("tifffile")
    if photometric == "rgb" and channels < 3:
        pytest.skip("colors have three channels")
    x, extra = _values(dtype, channels), ["unspecified"] * (channels - 3 if photometric == "rgb" else channels - 1)
    planar = None if channels == 1 else "contig"
    tifffile.imwrite(tmp_path / "x.tif", x, photometric=photometric, planarconfig=planar, extrasamples=extra or None)
    source = bs.open(tmp_path)
    if dtype == "uint8" and (channels == 1 or (channels == 3 and photometric == "rgb")):
        assert source.choices == ()
        return
    (line,) = (choice for choice in source.choices if choice.chosen.startswith("images are unchanged"))
    assert line.setting == {True: 'mode="RGB"', False: ""}[_has_colors(dtype, channels, photometric)]
    if line.setting:
        read = bs.open(tmp_path, mode="RGB")[0]["x"]
        colors = x[..., :3] if channels > 1 else np.repeat(x[..., None], 3, 2)
        scaled = (colors.astype(np.uint32) + 128) // 257 if dtype == "uint16" else colors
        assert np.abs(read.astype(int) - scaled).max() <= 1


def _has_colors(dtype, channels, photometric):
    """Whether a TIFF is gray or RGB of up to 16 bits, maybe with another channel."""
    return dtype in ("uint8", "uint16") and (channels == 1 or (photometric == "rgb" and channels in (3, 4)))


@pytest.mark.parametrize("mode", ["RGB", "L", "I;16"])
def test_signed_values_of_jpeg_2000_are_refused_by_modes_without_a_sign(tmp_path, mode):
    imagecodecs = pytest.importorskip("imagecodecs")
    x = _values("int16", 1)
    (tmp_path / "x.jp2").write_bytes(imagecodecs.jpeg2k_encode(x, level=0))
    source = bs.open(tmp_path)
    assert [str(choice) for choice in source.choices] == ["images are unchanged: 1 channel of int16"]
    assert (source[0]["x"][..., 0] == x).all()
    with pytest.raises(UnsupportedFile, match="signed values"):
        bs.open(tmp_path, mode=mode)[0]
