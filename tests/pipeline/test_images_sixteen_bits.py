"""Images of 16 bits: kept by the modes "unchanged" and "I;16", and reduced by the others with a word."""

import io
import logging

import numpy as np
import pytest
from PIL import Image

import bitesize as bs
from bitesize.errors import BadSetting, UnsupportedFile

TWELVE_BITS = np.arange(4096, dtype=np.uint16).reshape(64, 64)
FULL = TWELVE_BITS * 16


def _load(source, *transforms, **options):
    with bs.Loader(
        source, batch_size=len(source), memory="64 MiB", shuffle=False, transforms=list(transforms), **options
    ) as loader:
        return next(iter(loader))["x"].copy()


def _save(path, values=FULL):
    Image.fromarray(values).save(path)
    return path


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("transforms", [[], [bs.Resize(64)], [bs.Flip(0)], [bs.Rotate90((0,))]], ids=str)
def test_values_stay_exact(tmp_path, suffix, transforms):
    source = bs.open(_save(tmp_path / f"x{suffix}"), mode="I;16")
    got = _load(source, *transforms)
    assert got.dtype == np.uint16
    assert (got[0, ..., 0] == FULL).all()
    assert source.choices == ()


@pytest.mark.parametrize("layout", ["HWC", "CHW"])
def test_they_are_drawn_as_arrays_are(tmp_path, layout):
    for i in range(3):
        _save(tmp_path / f"{i}.png", np.roll(FULL, 100 * i))
    arrays = np.stack([np.roll(FULL, 100 * i) for i in range(3)])[..., None]
    transforms = [bs.RandomResizedCrop(20), bs.Rotate(20), bs.Scale(1 / 65_535), bs.Contrast(), bs.Normalize(0.5, 0.25)]
    images = _load(bs.open(tmp_path, mode="I;16"), *transforms, layout=layout)
    np.testing.assert_allclose(images, _load(bs.open(arrays), *transforms, layout=layout), atol=1e-6)


def test_normalize_takes_values_by_themselves(tmp_path):
    source = bs.open(_save(tmp_path / "x.png"), mode="I;16")
    np.testing.assert_allclose(
        _load(source, bs.Normalize(30_000.0, 10_000.0))[0, ..., 0], (FULL - 30_000.0) / 10_000, atol=1e-4
    )
    normal = _load(source, bs.Normalize("data"))
    np.testing.assert_allclose((normal.mean(), normal.std()), (0, 1), atol=1e-4)
    assert bs.statistics(source, "32 MiB").greatest == (65_520.0,)


def test_an_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(FULL).save(tmp_path / "x.tif", exif=exif)
    assert (_load(bs.open(tmp_path / "x.tif", mode="I;16"))[0, ..., 0] == np.rot90(FULL, -1)).all()
    assert (_load(bs.open(tmp_path / "x.tif", mode="I;16", orient=False))[0, ..., 0] == FULL).all()


@pytest.mark.parametrize("mode", ["L", "RGB", "1", "LA"])
def test_other_images_are_refused_in_this_mode(tmp_path, mode):
    Image.new(mode, (8, 8)).save(tmp_path / "x.png")
    with pytest.raises(UnsupportedFile, match=r'mode="I;16" is for 16-bit gray images, but this image is'):
        _load(bs.open(tmp_path / "x.png", mode="I;16"))


def test_a_jpeg_is_refused_in_this_mode(tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "x.jpg")
    with pytest.raises(UnsupportedFile, match="this image is gray of 8 bits"):
        _load(bs.open(tmp_path / "x.jpg", mode="I;16"))


def test_an_unknown_mode_is_refused_with_those_there_are(tmp_path):
    with pytest.raises(BadSetting, match='"RGBA", "I;16" or "unchanged", not \'F\''):
        bs.open(_save(tmp_path / "x.png"), mode="F")


class TestReduced:
    @pytest.mark.parametrize("suffix", [".png", ".PNG", ".tif", ".tiff"])
    def test_opening_says_so_with_the_setting(self, tmp_path, suffix):
        Image.fromarray(FULL).save(tmp_path / f"x{suffix}")
        choice = bs.open(tmp_path / f"x{suffix}", mode="L").choices[0]
        assert str(choice) == '16-bit gray images are reduced to 8 bits (mode="unchanged" changes this)'

    def test_colors_of_16_bits_are_said_too(self, tmp_path):
        import struct
        import zlib

        def chunk(kind, body):
            return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

        lines = b"".join(b"\0" + bytes(6 * 4) for _ in range(4))
        png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0))
        (tmp_path / "x.png").write_bytes(png + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b""))
        source = bs.open(tmp_path / "x.png", mode="RGB")
        assert "16-bit colors are reduced to 8 bits" in source.choices[0].chosen
        assert _load(source).shape == (1, 4, 4, 3)

    def test_only_a_few_files_are_looked_at_and_bad_ones_passed_over(self, tmp_path):
        for i in range(30):
            (tmp_path / f"{i:02}.png").write_bytes(b"no image")
        _save(tmp_path / "99.png")  # the last is among those that are evenly spaced
        assert len(bs.open(tmp_path).choices) == 1

    def test_8_bits_have_nothing_to_say(self, tmp_path):
        for suffix in ("png", "tif", "jpg"):
            Image.new("RGB", (8, 8)).save(tmp_path / f"x.{suffix}")
        source = bs.open(tmp_path)
        assert (source.choices, dict(source.left_out)) == ((), {})

    @pytest.mark.parametrize("way", ["loader", "statistics"])
    def test_decoding_says_it_once_a_source(self, tmp_path, caplog, way):
        for i in range(4):
            _save(tmp_path / f"{i}.png")
        source = bs.open(tmp_path, mode="RGB")
        with caplog.at_level(logging.WARNING, "bitesize"):
            for _ in range(2):
                _ = _load(source) if way == "loader" else bs.statistics(source, "32 MiB")
        said = [record.getMessage() for record in caplog.records if "16-bit" in record.getMessage()]
        assert len(said) == 1
        assert 'mode="unchanged" keeps their values' in said[0]
        assert ".png" in said[0]


class TestCheck:
    @pytest.mark.parametrize("mode", ["L", "RGB"])
    def test_12_bits_that_become_17_levels_are_suspicious(self, tmp_path, mode):
        found = bs.check(bs.open(_save(tmp_path / "x.png", TWELVE_BITS), mode=mode), memory="32 MiB")
        assert not found.well
        assert "8 bits leave 17 levels:" in found.suspicious[0].reason
        assert 'mode="unchanged"' in found.suspicious[0].reason

    def test_a_set_of_12_bits_is_said_once_where_values_are_kept(self, tmp_path):
        for i in range(3):
            _save(tmp_path / f"{i}.png", np.roll(TWELVE_BITS, 100 * i) // (i + 1))
        found = bs.check(bs.open(tmp_path, mode="I;16"), memory="32 MiB")
        assert [place.row for place in found.suspicious] == [0]
        assert "values are within 0 to 4,095 of 65,535" in found.suspicious[0].reason
        assert "bs.Scale(1 / 4095)" in found.suspicious[0].reason

    @pytest.mark.parametrize("mode", ["L", "I;16"])
    def test_a_full_range_is_well(self, tmp_path, mode):
        assert bs.check(bs.open(_save(tmp_path / "x.png"), mode=mode), memory="32 MiB").well

    def test_a_dark_image_among_others_is_well_where_values_are_kept(self, tmp_path):
        _save(tmp_path / "0.png", TWELVE_BITS)
        _save(tmp_path / "1.png", FULL)
        assert bs.check(bs.open(tmp_path, mode="I;16"), memory="32 MiB").well

    def test_a_dark_image_of_8_bits_is_well(self, tmp_path):
        _save(tmp_path / "x.png", (FULL // 4096).astype(np.uint8))
        assert bs.check(bs.open(tmp_path / "x.png", mode="L"), memory="32 MiB").well


def _color_png(path):
    import struct
    import zlib

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    lines = b"".join(b"\0" + TWELVE_BITS[:16, y].repeat(3).astype(">u2").tobytes() for y in range(16))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 16, 16, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b""))
    return path


def test_check_advises_of_colors_what_keeps_them(tmp_path):
    reason = bs.check(bs.open(_color_png(tmp_path / "x.png"), mode="RGB"), memory="32 MiB").suspicious[0].reason
    assert 'open it with mode="unchanged"' in reason
    assert "I;16" not in reason


class TestOtherGray:
    def test_32_bits_are_said_and_kept(self, tmp_path, caplog):
        Image.fromarray(TWELVE_BITS.astype(np.int32) * 16).save(tmp_path / "x.tif")
        source = bs.open(tmp_path / "x.tif", mode="L")
        assert source.choices[0].chosen == "32-bit gray images are reduced to 8 bits, where 65535 is full brightness"
        assert source.choices[0].setting == 'mode="unchanged"'
        with caplog.at_level(logging.WARNING, "bitesize"):
            assert (_load(source)[0, ..., 0] == (FULL.astype(int) + 128) // 257).all()
        assert 'mode="unchanged" keeps their values' in caplog.text
        assert (_load(bs.open(tmp_path / "x.tif", mode="I;16"))[0, ..., 0] == FULL).all()

    @pytest.mark.parametrize("mode", ["RGB", "L", "I;16"])
    def test_values_above_16_bits_are_for_the_unchanged_mode(self, tmp_path, mode):
        Image.fromarray(TWELVE_BITS.astype(np.int32) * 100).save(tmp_path / "x.tif")
        with pytest.raises(
            UnsupportedFile,
            match=r'values from 0 to 409500; this mode supports only 0 to 65535: mode="unchanged" keeps them',
        ):
            _load(bs.open(tmp_path / "x.tif", mode=mode))

    @pytest.mark.parametrize("mode", ["RGB", "L", "I;16"])
    def test_floats_are_for_the_unchanged_mode(self, tmp_path, caplog, mode):
        Image.fromarray(np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)).save(tmp_path / "x.tif")
        source = bs.open(tmp_path / "x.tif", mode=mode)
        assert source.choices == ()
        with (
            caplog.at_level(logging.WARNING, "bitesize"),
            pytest.raises(
                UnsupportedFile, match=r'floating-point pixels, whose range is unknown: mode="unchanged" keeps them'
            ),
        ):
            _load(source)
        assert "reduced" not in caplog.text

    def test_12_bits_of_jpeg_2000_are_kept(self, tmp_path):
        # The level of the middle is 2**15 at 16 bits, and 2**11 at the 12 that the header then says.
        buffer = io.BytesIO()
        Image.fromarray(TWELVE_BITS + 2**15 - 2**11).save(buffer, "JPEG2000", irreversible=False, no_jp2=True)
        data = bytearray(buffer.getvalue())
        data[data.index(b"\xff\x51") + 40] = 11
        (tmp_path / "x.j2k").write_bytes(data)
        assert (_load(bs.open(tmp_path / "x.j2k", mode="I;16"))[0, ..., 0] == TWELVE_BITS).all()
