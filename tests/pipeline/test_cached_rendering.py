"""Batches with a cache on disk have the same values as without, bit for bit, whatever the transforms and however full it is."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bitesize as bs
from bitesize.packed import row_cache

ROWS = 40
PIPELINES = {
    "deterministic": [bs.Resize(20), bs.Normalize("imagenet")],
    "deterministic, padded": [bs.Resize(24, "pad", fill=90), bs.CenterCrop(20, fill=90), bs.Grayscale(1.0)],
    "resized": [bs.Resize(24), bs.RandomCrop(20), bs.Flip(0.5, 0.5), bs.Normalize("imagenet")],
    "resized, padded crop": [bs.Resize(20), bs.RandomCrop(20, padding=4, fill=100), bs.Normalize("imagenet")],
    "resized, turned": [bs.Resize((24, 20), "cover"), bs.CenterCrop(18), bs.Rotate90(), bs.Scale(1 / 255)],
    "resized, colors": [bs.Resize(20), bs.Flip(), bs.ColorJitter(0.4, 0.4, 0.4, 0.1), bs.Normalize("imagenet")],
    "resized, erased": [bs.Resize(20), bs.Cutout(p=1.0), bs.Normalize("imagenet")],
    "shorter side": [bs.Resize(24, "shorter"), bs.CenterCrop(20), bs.Flip(), bs.Normalize("imagenet")],
    "cropped": [bs.CenterCrop(20), bs.Flip(), bs.Normalize("imagenet")],
    "decoded": [bs.RandomResizedCrop(20), bs.Flip(), bs.Normalize("imagenet")],
    "decoded, slanted": [bs.Resize(24), bs.Rotate(20), bs.CenterCrop(20), bs.Normalize("imagenet")],
    "bicubic": [bs.Resize(24, interpolation="bicubic"), bs.RandomCrop(20), bs.Normalize("imagenet")],
}


@pytest.fixture(autouse=True)
def _fills_at_once(monkeypatch):
    monkeypatch.setattr(row_cache, "_REST", 0.0)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> Path:
    """Photographs of different sizes, formats and EXIF orientations, in two classes."""
    folder, random = tmp_path_factory.mktemp("photographs"), np.random.default_rng(3)
    for i in range(ROWS):
        path = folder / "ab"[i % 2] / f"{i}.{'png' if i % 5 == 0 else 'jpg'}"
        path.parent.mkdir(exist_ok=True)
        coarse = random.integers(0, 256, (6, 7, 3), np.uint8)
        image = Image.fromarray(coarse).resize((30 + i, 70 - i) if i != 7 else (400, 300), Image.Resampling.BICUBIC)
        exif = Image.Exif()
        exif[0x0112] = i % 9 or 1
        image.save(path, exif=exif)
    return folder


def filled(source, transforms, cache, **settings):
    """Batches with a cache that an earlier loader has filled and sealed."""
    batches(source, transforms, cache, 1, **settings)
    return batches(source, transforms, cache, **settings)


def batches(source, transforms, cache, epochs=3, **settings):
    """All batches of some epochs, and the rows that came from the cache."""
    settings = {"batch_size": 8, "seed": 5, "memory": "64 MiB", "threads": 2} | settings
    with bs.Loader(source, transforms=transforms, cache=cache, **settings) as loader:
        found = [[{name: array.copy() for name, array in batch.items()} for batch in loader] for _ in range(epochs)]
        return found, loader.stats


def assert_equal(one, other):
    for epoch, other_epoch in zip(one, other, strict=True):
        for batch, other_batch in zip(epoch, other_epoch, strict=True):
            assert batch.keys() == other_batch.keys()
            for name, array in batch.items():
                np.testing.assert_array_equal(array, other_batch[name], name, strict=True)


@pytest.mark.parametrize("name", PIPELINES)
def test_batches_equal_those_without_a_cache(photographs, tmp_path, name):
    source, transforms = bs.open(photographs), PIPELINES[name]
    plain, _ = batches(source, transforms, None)
    cached, _ = batches(source, transforms, bs.Cache(tmp_path / "cache", "32 MiB"))
    assert_equal(cached, plain)
    again, stats = batches(source, transforms, bs.Cache(tmp_path / "cache", "32 MiB"))
    assert_equal(again, plain)
    assert stats.cache_hits > 2.5 * ROWS


@pytest.mark.parametrize(
    "settings",
    [
        {"layout": "CHW"},
        {"dtype": "float16"},
        {"dtype": "uint8"},
        {"dtype": "float64"},
        {"batch_size": 7, "threads": 1},
        {"shuffle": False},
        {"fast_decode": False},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["deterministic", "resized", "decoded"])
def test_settings_of_the_loader_do_not_matter(photographs, tmp_path, name, settings):
    source = bs.open(photographs)
    transforms = [step for step in PIPELINES[name] if settings.get("dtype") != "uint8" or not isinstance(step, bs.Normalize)]
    plain, _ = batches(source, transforms, None, **settings)
    cached, _ = batches(source, transforms, bs.Cache(tmp_path / "cache", "32 MiB"), **settings)
    assert_equal(cached, plain)


def test_layouts_of_one_shape_do_not_share_rows(photographs, tmp_path):
    source, transforms, cache = bs.open(photographs), [bs.Resize(3)], bs.Cache(tmp_path / "cache", "32 MiB")
    for layout in ("HWC", "CHW"):
        plain, _ = batches(source, transforms, None, layout=layout)
        cached, _ = filled(source, transforms, cache, layout=layout)
        assert_equal(cached[:1], plain[:1])


@pytest.mark.parametrize("mode", ["L", "RGBA", "I;16"])
@pytest.mark.parametrize("name", ["deterministic", "resized", "decoded"])
def test_modes_of_images(tmp_path, mode, name):
    random = np.random.default_rng(1)
    for i in range(ROWS):
        shape = (30 + i, 60 - i) + {"L": (), "RGBA": (4,), "I;16": ()}[mode]
        values = random.integers(0, 60_000 if mode == "I;16" else 256, shape).astype("u2" if mode == "I;16" else "u1")
        Image.fromarray(values).save(tmp_path / f"{i}.png")
    source = bs.open(tmp_path, mode=mode)
    transforms = [
        bs.Normalize(0.5, 0.25) if isinstance(step, bs.Normalize) and mode != "RGBA" else step for step in PIPELINES[name]
    ]
    if mode == "I;16":
        transforms = [bs.Normalize(20_000.0, 9_000.0) if isinstance(step, bs.Normalize) else step for step in transforms]
    plain, _ = batches(source, transforms, None)
    cached, stats = filled(source, transforms, bs.Cache(tmp_path.with_name("cache-of-modes"), "32 MiB"))
    assert_equal(cached, plain)
    assert stats.cache_hits > ROWS


@pytest.mark.parametrize("name", ["deterministic", "resized", "decoded"])
def test_masks_are_kept_with_their_images(tmp_path, name):
    random = np.random.default_rng(2)
    for i in range(ROWS):
        for kind in ("images", "masks"):
            (tmp_path / kind).mkdir(exist_ok=True)
            shape = (30 + i, 60 - i) + ((3,) if kind == "images" else ())
            Image.fromarray(random.integers(0, 256 if kind == "images" else 3, shape, np.uint8)).save(
                tmp_path / kind / f"{i}.png"
            )
    source = bs.open(tmp_path)
    plain, _ = batches(source, PIPELINES[name], None)
    cached, stats = filled(source, PIPELINES[name], bs.Cache(tmp_path.with_name("cache-of-masks"), "32 MiB"))
    assert_equal(cached, plain)
    assert stats.cache_hits > ROWS


def test_a_partial_cache_holds_the_same_part_in_each_epoch(photographs, tmp_path):
    source, transforms = bs.open(photographs), [bs.Resize(40), bs.Normalize("imagenet")]
    plain, _ = batches(source, transforms, None)
    cache = bs.Cache(tmp_path / "cache", "600 KiB")  # 19,216 bytes a row
    for _ in range(3):
        cached, stats = filled(source, transforms, cache)
        assert_equal(cached, plain)
    assert 0 < stats.cache_hits < 3 * ROWS
    there = []
    for _ in range(2):
        with bs.Loader(source, batch_size=8, transforms=transforms, memory="64 MiB", cache=cache) as loader:
            there.append(loader.plan.cache["rows_there"])
        filled(source, transforms, cache)
    assert there[0] == there[1] > 0


def test_train_and_validation_rows_share_a_folder(photographs, tmp_path):
    train, _ = bs.open(photographs).split(0.3, seed=1)
    transforms, cache = PIPELINES["deterministic"], bs.Cache(tmp_path / "cache", "32 MiB")
    plain, _ = batches(train, transforms, None)
    cached, _ = batches(train, transforms, cache)
    assert_equal(cached, plain)
    other_train, _ = bs.open(photographs).split(0.5, seed=9)
    _, stats = batches(other_train.renumber(["b", "a"]), transforms, cache, 1)
    assert stats.cache_hits > 5  # rows that were in the other split, too


def test_a_changed_file_is_decoded_again(photographs, tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    for i in range(8):
        Image.fromarray(np.full((30, 30, 3), 10 * i, np.uint8)).save(folder / f"{i}.png")
    source, cache = bs.open(folder), bs.Cache(tmp_path / "cache", "32 MiB")
    settings = {"shuffle": False, "batch_size": 8}
    batches(source, [bs.Resize(8)], cache, 2, **settings)
    Image.fromarray(np.full((30, 30, 3), 200, np.uint8)).save(folder / "3.png")
    os.utime(folder / "3.png", ns=(1, 1))
    second, _ = batches(source, [bs.Resize(8)], cache, 2, **settings)
    for epoch in second:
        assert [int(row[0, 0, 0]) for row in epoch[0]["x"]] == [0, 10, 20, 200, 40, 50, 60, 70]


@pytest.mark.parametrize(
    ("transforms", "level"),
    [
        ([bs.Resize(20), bs.Flip(), bs.Scale(1.0)], 0.51),
        ([bs.Resize(20), bs.Scale(1.0)], 0.51),
        ([bs.Resize(28), bs.RandomResizedCrop(20, (0.5, 1.0)), bs.Scale(1.0)], 60.0),
    ],
)
def test_pixels_round_all_rows_alike(photographs, tmp_path, transforms, level):
    source = bs.open(photographs)
    plain, _ = batches(source, transforms, None)
    full, stats = filled(source, transforms, bs.Cache(tmp_path / "full", "32 MiB", kind="pixels"))
    part, _ = filled(source, transforms, bs.Cache(tmp_path / "part", 131_072 + 400_000, kind="pixels"))
    assert stats.cache_hits > ROWS
    assert_equal(full, part)
    worst = max(
        float(np.abs(one["x"] - two["x"]).max())
        for epoch, other in zip(full, plain, strict=True)
        for one, two in zip(epoch, other, strict=True)
    )
    assert 0 < worst <= level


def test_reduced_images_are_the_same_from_file_and_cache(photographs, tmp_path):
    source, transforms = bs.open(photographs), PIPELINES["decoded"]
    full, stats = filled(source, transforms, bs.Cache(tmp_path / "full", "32 MiB", max_side=32))
    part, _ = filled(source, transforms, bs.Cache(tmp_path / "part", 131_072 + 400_000, max_side=32))
    assert stats.cache_hits > ROWS
    assert_equal(full, part)
    plain, _ = batches(source, transforms, None)
    assert any(
        (one["x"] != two["x"]).any()
        for epoch, other in zip(full, plain, strict=True)
        for one, two in zip(epoch, other, strict=True)
    )


@pytest.mark.parametrize("name", ["deterministic", "resized"])
def test_images_are_reduced_before_any_other_transform(photographs, tmp_path, name):
    source, transforms = bs.open(photographs), PIPELINES[name]
    full, stats = filled(source, transforms, bs.Cache(tmp_path / "full", "32 MiB", max_side=32))
    nothing, _ = batches(source, transforms, bs.Cache(size=0, max_side=32))
    assert stats.cache_hits > ROWS
    assert_equal(full, nothing)
    plain, _ = batches(source, transforms, None)
    assert (full[0][0]["x"] != plain[0][0]["x"]).any()


def test_user_functions_are_never_cached(photographs, tmp_path):
    calls = []

    def double(x):
        calls.append(1)
        return x * 2

    transforms = [*PIPELINES["deterministic"], bs.Map(double)]
    plain, _ = batches(bs.open(photographs), transforms, None)
    before = len(calls)
    cached, _ = batches(bs.open(photographs), transforms, bs.Cache(tmp_path / "cache", "32 MiB"))
    assert_equal(cached, plain)
    assert len(calls) - before >= 3 * ROWS


def test_a_transform_of_the_user_ends_what_is_kept(photographs, tmp_path):
    class Inverted(bs.Transform):
        def adjust(self, view, u):
            view.per_channel((-1, -1, -1), (255, 255, 255))

    transforms = [bs.Resize(20), Inverted(), bs.Normalize("imagenet")]
    plain, _ = batches(bs.open(photographs), transforms, None)
    cached, stats = filled(bs.open(photographs), transforms, bs.Cache(tmp_path / "cache", "32 MiB"))
    assert_equal(cached, plain)
    assert stats.cache_hits > ROWS


def test_a_damaged_row_stays_a_bad_row(photographs, tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    for i in range(12):
        Image.fromarray(np.full((30, 30, 3), 10 * i, np.uint8)).save(folder / f"{i}.png")
    (folder / "5.png").write_bytes((folder / "5.png").read_bytes()[:60])
    source, cache = bs.open(folder), bs.Cache(tmp_path / "cache", "32 MiB")
    for _ in range(2):
        with pytest.raises(bs.BadFile, match=r"5\.png"):
            batches(source, [bs.Resize(8)], cache)
    settings = {"on_error": "skip", "max_bad": 0.5, "batch_size": 4}
    plain, _ = batches(source, [bs.Resize(8)], None, **settings)
    cached, _ = batches(source, [bs.Resize(8)], cache, **settings)
    assert_equal(cached, plain)


def test_resume_goes_on_with_the_same_rows(photographs, tmp_path):
    source, transforms, cache = bs.open(photographs), PIPELINES["resized"], bs.Cache(tmp_path / "cache", "32 MiB")
    settings = {"batch_size": 8, "seed": 5, "memory": "64 MiB", "transforms": transforms}
    plain, _ = batches(source, transforms, None, 1)
    with bs.Loader(source, cache=cache, **settings) as loader:
        for number, _ in enumerate(loader):
            if number == 1:
                state = loader.state_dict()
                break
    with bs.Loader(source, cache=cache, **settings) as loader:
        loader.load_state_dict(state)
        rest = [{name: array.copy() for name, array in batch.items()} for batch in loader]
    assert_equal([rest], [plain[0][2:]])


@pytest.mark.parametrize(
    ("transforms", "max_side"),
    [
        ([bs.Resize(1000)], None),
        ([bs.Resize(1000), bs.Flip()], None),
        ([bs.RandomResizedCrop(1000, (0.9, 1.0))], 2000),
    ],
    ids=["deterministic", "resized", "reduced"],
)
def test_an_image_that_is_decoded_smaller_for_lack_of_memory_is_not_kept(tmp_path, transforms, max_side):
    coarse = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    (tmp_path / "data").mkdir()
    Image.fromarray(coarse).resize((4200, 2800), Image.Resampling.BICUBIC).save(tmp_path / "data" / "0.jpg")
    source, settings = bs.open(tmp_path / "data"), {"batch_size": 1, "threads": 1, "dtype": "uint8"}
    right, _ = batches(source, transforms, bs.Cache(size=0, max_side=max_side), 1, memory="256 MiB", **settings)
    cache = bs.Cache(tmp_path / "cache", "256 MiB", max_side=max_side)
    smaller, _ = batches(source, transforms, cache, 2, memory="34 MiB", **settings)
    assert (smaller[0][0]["x"] != right[0][0]["x"]).any()
    again, stats = filled(source, transforms, cache, memory="256 MiB", **settings)
    assert_equal(again[:1], right)
    assert stats.cache_hits


def test_zipped_images_are_kept(photographs, tmp_path):
    numbers = bs.open(np.arange(ROWS, dtype=np.float32))
    source = bs.zip(bs.open(photographs), z=numbers)
    plain, _ = batches(source, PIPELINES["decoded"], None)
    cached, stats = filled(source, PIPELINES["decoded"], bs.Cache(tmp_path / "cache", "32 MiB"))
    assert_equal(cached, plain)
    assert stats.cache_hits > ROWS


class Unversioned(bs.Source):
    """Images that are in no files."""

    spec = {"x": bs.Encoded()}

    def __init__(self, folder):
        self.images = [path.read_bytes() for path in sorted(folder.glob("*/*"))]

    def __len__(self):
        return len(self.images)

    def _identity(self):
        return b"unversioned"

    def read(self, rows, into):
        for i, row in enumerate(rows.tolist()):
            into["x"].put(i, len(self.images[row]))[:] = self.images[row]


def test_settings_that_change_values_hold_for_data_that_cannot_be_kept(photographs, tmp_path):
    source, transforms = Unversioned(photographs), [bs.Resize(20), bs.Flip(), bs.Scale(1.0)]
    for settings in ({"kind": "pixels"}, {"max_side": 30}, {"kind": "pixels", "max_side": 30}):
        changed, stats = batches(source, transforms, bs.Cache(tmp_path / "cache", "8 MiB", **settings))
        nothing, _ = batches(source, transforms, bs.Cache(size=0, **settings))
        assert_equal(changed, nothing)
        assert stats.cache_hits == 0
    plain, _ = batches(source, transforms, None)
    assert (changed[0][0]["x"] != plain[0][0]["x"]).any()
    exact, _ = batches(source, transforms, bs.Cache(tmp_path / "cache", "8 MiB"))
    assert_equal(exact, plain)
    assert not (tmp_path / "cache").exists()
