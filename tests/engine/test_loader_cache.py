"""A loop over a loader with a cache trains to the same weights as without, also when it is resumed."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bitesize as bs
from bitesize.packed import row_cache

TRANSFORMS = {
    "deterministic": [bs.Resize(40), bs.Normalize("imagenet")],
    "resized": [bs.Resize(40), bs.Flip(), bs.Normalize("imagenet")],
    "decoded": [bs.RandomResizedCrop(40), bs.Flip(), bs.Normalize("imagenet")],
}
ROWS, EPOCHS = 48, 3


@pytest.fixture(autouse=True)
def _fills_at_once(monkeypatch):
    monkeypatch.setattr(row_cache, "_REST", 0.0)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder, random = tmp_path_factory.mktemp("photographs"), np.random.default_rng(3)
    for i in range(ROWS):
        path = folder / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(random.integers(0, 256, (64 + i % 7, 60 + i % 5, 3), np.uint8)).save(path)
    return bs.open(folder)


class Training:
    """Softmax regression in PyTorch, over `bitesize.to_torch`."""

    def __init__(self, source, transforms, cache) -> None:
        torch = pytest.importorskip("torch")
        torch.manual_seed(0)
        self.model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(40 * 40 * 3, 2))
        self.optimizer = torch.optim.Adam(self.model.parameters())
        self.loader = bs.Loader(
            source, batch_size=8, transforms=transforms, memory="64 MiB", seed=4, threads=2, cache=cache, dtype="float32"
        )

    def run(self, epochs=EPOCHS, stop=None):
        """Train; return the loader's state after ``stop`` batches of the last epoch, or None at its end."""
        import torch

        for epoch in range(epochs):
            for number, batch in enumerate(bs.to_torch(self.loader)):
                loss = torch.nn.functional.cross_entropy(self.model(batch["x"]), batch["y"])
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
                if epoch == epochs - 1 and stop is not None and number + 1 == stop:
                    return self.loader.state_dict()
        return None

    @property
    def weights(self):
        return [parameter.detach().numpy().copy() for parameter in self.model.parameters()]


def trained(source, transforms, cache):
    training = Training(source, transforms, cache)
    with training.loader:
        training.run()
        return training.weights, training.loader.stats.cache_hits


@pytest.mark.framework
@pytest.mark.parametrize("name", TRANSFORMS)
def test_weights_are_the_same_with_a_full_a_partial_and_no_cache(source, tmp_path, name):
    transforms = TRANSFORMS[name]
    plain, _ = trained(source, transforms, None)
    for size in ("16 MiB", "512 KiB"):
        hits = 0
        for _ in range(2):
            weights, hits = trained(source, transforms, bs.Cache(tmp_path / size, size))
            assert all(np.array_equal(one, other) for one, other in zip(weights, plain, strict=True))
        assert hits >= EPOCHS * ROWS if size == "16 MiB" else 0 < hits < EPOCHS * ROWS


@pytest.mark.framework
@pytest.mark.parametrize("name", TRANSFORMS)
def test_weights_are_the_same_after_a_resume_with_another_cache(source, tmp_path, name):
    transforms = TRANSFORMS[name]
    plain, _ = trained(source, transforms, None)
    first = Training(source, transforms, bs.Cache(tmp_path / "one", "16 MiB"))
    with first.loader:
        state = first.run(2, stop=3)
    second = Training(source, transforms, bs.Cache(tmp_path / "two", "512 KiB"))
    second.model, second.optimizer = first.model, first.optimizer
    with second.loader:
        second.loader.load_state_dict(state)
        second.run(2)
    assert all(np.array_equal(one, other) for one, other in zip(second.weights, plain, strict=True))


def test_the_plan_says_what_is_kept_and_which_epochs_gain(source, tmp_path):
    settings = {"batch_size": 8, "memory": "64 MiB", "transforms": TRANSFORMS["deterministic"]}
    with bs.Loader(source, cache=bs.Cache(tmp_path, "16 MiB"), **settings) as loader:
        plan = loader.plan
        assert "rows as in a batch (40, 40, 3) float32" in plan.hints[0]
        assert f"for {ROWS} rows, of at most 16.0 MiB; 0 rows there now. They are added while epochs run" in plan.hints[0]
        assert plan.cache["all_bytes"] == ROWS * (40 * 40 * 3 * 4 + 16)
        assert {part.name: part.nbytes for part in plan.parts}["cache index"] > 0
        for _ in loader:
            pass
    with bs.Loader(source, cache=bs.Cache(tmp_path, "16 MiB"), **settings) as loader:
        assert f"{ROWS} rows there now. Every epoch reads from it." in loader.plan.hints[0]
    with bs.Loader(source, cache=bs.Cache(tmp_path / "small", "400 KiB"), **settings) as loader:
        first, second = loader.plan.hints[:2]
        assert "room for 29% of 48 rows" in first
        assert "the size is 400 KiB" in first
        assert "and decode the other" in first
        assert 'kind="pixels" of the cache takes a quarter of the bytes' in second


def test_what_is_not_decoded_is_not_kept_and_the_plan_says_so(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    source = bs.open(np.zeros((20, 8, 8, 3), np.uint8))
    with bs.Loader(source, batch_size=4, memory="64 MiB", cache=bs.Cache(tmp_path / "cache")) as loader:
        assert loader.plan.hints[0] == "Cache: nothing is kept, because rows are stored as arrays, so nothing is decoded."
        assert loader.plan.as_dict()["cache"]["kept"] == ""
    assert "nothing is kept" in caplog.text
    assert not (tmp_path / "cache").exists()


def test_without_a_cache_the_plan_has_no_word_of_it(source):
    with bs.Loader(source, batch_size=4, memory="64 MiB", transforms=[bs.Resize(8)]) as loader:
        assert loader.plan.cache is None
        assert not [hint for hint in loader.plan.hints if "ache" in hint]


@pytest.mark.parametrize("cache", [3, b"folder", ["a"]])
def test_other_settings_are_refused(source, cache):
    with pytest.raises(bs.BadSetting, match="cache must be None"):
        bs.Loader(source, batch_size=4, memory="64 MiB", transforms=[bs.Resize(8)], cache=cache)


def test_a_folder_with_other_contents_is_refused(source, tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(bs.BadSetting, match="is not empty and is no cache"):
        bs.Loader(source, batch_size=4, memory="64 MiB", transforms=[bs.Resize(8)], cache=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


_UNCLOSED = """
import sys
import bitesize as bs
loader = bs.Loader(bs.open(sys.argv[1]), batch_size=8, transforms=[bs.Resize(8)], memory="64 MiB", cache=bs.Cache(sys.argv[2], "8 MiB"))
for batch in loader:
    break
"""


def test_a_loader_that_is_never_closed_keeps_its_rows_at_the_end_of_the_program(source, tmp_path):
    command = [sys.executable, "-c", _UNCLOSED, source.paths_root.decode(), tmp_path / "cache"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == ""
    assert list(tmp_path.glob("cache/*/*/shard.json"))
    assert not list(tmp_path.glob("cache/*/*.partial-*"))


@pytest.mark.parametrize("size", ["1.0 KiB", "256 KiB"])
def test_a_cache_without_room_for_a_shard_says_so(source, tmp_path, size):
    settings = {"batch_size": 8, "memory": "64 MiB", "transforms": TRANSFORMS["deterministic"]}
    with bs.Loader(source, cache=bs.Cache(tmp_path / "cache", size), **settings) as loader:
        assert "nothing is kept, because it has no room for a shard" in loader.plan.hints[0]
        assert f"size={size}" in loader.plan.hints[0]
        assert len([hint for hint in loader.plan.hints if "ache" in hint]) == 1


def test_a_size_beyond_the_disk_is_no_promise(source, tmp_path, monkeypatch):
    class Disk:
        free = (64 << 20) + 500_000

    monkeypatch.setattr("shutil.disk_usage", lambda path: Disk)
    settings = {"batch_size": 8, "memory": "64 MiB", "transforms": TRANSFORMS["deterministic"]}
    with bs.Loader(source, cache=bs.Cache(tmp_path / "cache", "1 TiB"), **settings) as loader:
        assert 0.4 < loader.plan.cache["share"] < 0.6
        assert "and decode the other" in loader.plan.hints[0]


def test_the_plan_says_that_images_are_reduced(source, tmp_path):
    settings = {"batch_size": 8, "memory": "64 MiB", "transforms": TRANSFORMS["deterministic"]}
    with bs.Loader(source, cache=bs.Cache(tmp_path / "cache", "1 GiB", max_side=30), **settings) as loader:
        assert (
            "rows as in a batch (40, 40, 3) float32 (of images that are first reduced to 30 pixels)" in loader.plan.hints[0]
        )


def test_rows_that_another_loader_adds_within_an_epoch_are_found_in_that_epoch(source, tmp_path, monkeypatch):
    monkeypatch.setattr(row_cache, "_LOOK", 0.0)
    settings = {"batch_size": 4, "memory": "64 MiB", "transforms": TRANSFORMS["resized"], "threads": 1}
    cache = bs.Cache(tmp_path, "16 MiB")
    with bs.Loader(source, cache=cache, **settings) as late:
        batches = iter(late)
        next(batches)
        with bs.Loader(source, cache=cache, **settings) as other:
            for _ in other:
                pass
        for _ in batches:
            pass
        assert late.stats.cache_hits >= ROWS - 5 * 4  # all but those that were made ahead


# --- ranks in processes of their own ---------------------------------------------------------------------------------


def rows_of_ranks(data, cache, **settings):
    """Return, for all ranks together, the rows of each epoch, how many of them were in the cache, and the sum of the pixels of each row."""
    settings = {
        "data": data if isinstance(data, list) else str(data),
        "cache": str(cache),
        "epochs": 6,
        "flips": True,
        "step": 0.05,
    } | settings
    program = Path(__file__).parents[1] / "programs" / "cached_ranks.py"
    done = subprocess.run([sys.executable, program, json.dumps(settings)], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    rows, hits = np.array(told["rows"]).sum(axis=0).T.tolist()
    return rows, hits, told["pixels"]


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    folder, random = tmp_path_factory.mktemp("many"), np.random.default_rng(3)
    for i in range(240):
        Image.fromarray(random.integers(0, 256, (40 + i % 7, 36 + i % 5, 3), np.uint8)).save(folder / f"{i}.png")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("world", "flips"), [(2, True), (3, False)])
def test_ranks_decode_their_own_rows_once_and_then_find_those_of_all(many, tmp_path, world, flips):
    _, _, alone = rows_of_ranks(many, tmp_path / "alone", world=1, flips=flips, epochs=1)
    rows, hits, pixels = rows_of_ranks(many, tmp_path / "cache", world=world, flips=flips)
    assert pixels == alone
    assert rows == [240] * 6
    assert hits[0] == 0
    # Batches that were made before all ranks had written their rows decode them again; later ones find them.
    assert max(hits) >= 240


@pytest.mark.slow
@pytest.mark.remote
def test_ranks_request_nothing_that_one_of_them_has_kept(many, tmp_path, s3_server, bucket, proxy):
    names = sorted(path.name for path in many.iterdir())
    for name in names:
        s3_server.put(bucket, name, (many / name).read_bytes())
    data, options = [f"s3://{bucket}/{name}" for name in names], s3_server.options(proxy.address)
    settings = {"world": 2, "options": options, "kind": {"kind": "bytes"}}
    _, hits, pixels = rows_of_ranks(data, tmp_path / "cache", **settings)
    assert len(pixels) == 240
    assert max(hits) >= 240
    proxy.counters.recent.clear()
    _, hits, again = rows_of_ranks(data, tmp_path / "cache", **settings | {"world": 3, "epochs": 1})
    assert hits[0] >= 240  # and those of the next epoch that were read ahead
    assert again == pixels
    assert sum(method == "GET" for method, _, _ in proxy.counters.recent) < 60  # a few rows to know their sizes
