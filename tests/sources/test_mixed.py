"""Several sources as one: rows, labels, files, errors, and shares in a loader."""

import numpy as np
import pytest

import bitesize as bs


@pytest.fixture
def parts(tmp_path):
    """Make a file of 30 rows and an array of 10, whose values tell which they are."""
    np.save(tmp_path / "a.npy", np.arange(30, dtype=np.float32).reshape(30, 1) + np.zeros(4, np.float32))
    beside = 100 + np.arange(10, dtype=np.float32).reshape(10, 1) + np.zeros(4, np.float32)
    return [bs.open(tmp_path / "a.npy", [0] * 30), bs.open(beside, [1] * 10)]


def test_a_loader_draws_in_exact_shares_and_every_row_comes(parts):
    mixed = bs.mix(parts, shares=[0.25, 0.75])
    assert len(mixed) == 40
    assert mixed.labels.tolist() == [0] * 30 + [1] * 10
    assert mixed.describe(35) == "row 5"
    seen = []
    with bs.Loader(mixed, batch_size=10, memory="16 MiB", threads=2) as loader:
        for _ in range(25):
            for batch in loader:
                assert np.array_equal(batch["y"], (batch["x"][:, 0] >= 100).astype(int))
                assert np.array_equal(batch["x"][:, 0], np.where(batch.rows < 30, batch.rows, batch.rows + 70))
                seen += batch.rows.tolist()
    seen = np.array(seen)
    assert (seen < 30).sum() == 250
    counts = np.bincount(seen, minlength=40)
    assert set(counts[:30]) <= {8, 9}
    assert set(counts[30:]) == {75}


def test_files_of_images_mix_and_a_bad_one_is_replaced_within_its_source(tmp_path):
    from PIL import Image

    for folder, color, count in (("red", (255, 0, 0), 8), ("blue", (0, 0, 255), 4)):
        (tmp_path / folder).mkdir()
        for i in range(count):
            Image.new("RGB", (20, 20), color).save(tmp_path / folder / f"{i}.png")
    (tmp_path / "blue" / "2.png").write_bytes(b"damaged")
    mixed = bs.mix([bs.open(tmp_path / "red"), bs.open(tmp_path / "blue")], [0.5, 0.5])
    assert mixed.describe(9).endswith("1.png")
    with bs.Loader(mixed, batch_size=6, memory="16 MiB", on_error="skip", max_bad=0.5) as loader:
        colors = np.concatenate([batch["x"][:, 0, 0].copy() for _ in range(84) for batch in loader])
        assert [bad.row for bad in loader.bad] == [10]
    assert len(colors) == 84 * 12
    assert abs(int((colors[:, 0] == 255).sum()) - 42 * 12) <= 8  # the last period of 1,000 is cut


def test_files_of_one_header_are_located_together(tmp_path):
    for i, name in enumerate(("a", "b")):
        (tmp_path / name).mkdir()
        for k in range(5):
            np.save(tmp_path / name / f"{k}.npy", np.full((3, 2), 10 * i + k, np.float32))
    mixed = bs.mix([bs.open(tmp_path / "a"), bs.open(tmp_path / "b")], [1, 1])
    found = mixed.locate(np.array([7, 0, 9, 3]))
    assert [path.decode()[-7:] for path in np.array(found.paths)[found.which]] == [
        "b/2.npy",
        "a/0.npy",
        "b/4.npy",
        "a/3.npy",
    ]
    with bs.Loader(mixed, batch_size=4, memory="16 MiB", shuffle=False) as loader:
        for batch in loader:
            assert np.array_equal(batch["x"][:, 0, 0], np.where(batch.rows < 5, batch.rows, batch.rows + 5))


def test_sources_that_do_not_fit_are_refused(parts):
    with pytest.raises(bs.BadSetting, match="same fields"):
        bs.mix([parts[0], bs.open(np.zeros((4, 4)), [0] * 4)], [1, 1])
    with pytest.raises(bs.BadSetting, match="two or more"):
        bs.mix([parts[0]], [1])
    with pytest.raises(bs.BadSetting, match="2 sources need 2 shares, not 3"):
        bs.mix(parts, [1, 2, 3])


def test_classes_come_alike_in_one_word():
    labels = [0] * 950 + [1] * 50
    with bs.Loader(bs.open(np.arange(1000.0), labels), batch_size=100, memory="16 MiB", order="balanced") as loader:
        drawn = np.concatenate([batch["y"].copy() for _ in range(4) for batch in loader])
        assert loader.plan.parts[-1].name == "order"
        assert loader.plan.parts[-1].nbytes >= 8 * 1000
    assert abs(drawn.mean() - 0.5) < 0.05
    with pytest.raises(bs.BadSetting, match="needs class labels"):
        bs.Loader(bs.open(np.arange(10.0)), batch_size=2, order="balanced")
    with pytest.raises(bs.BadSetting, match='must be an Order or "balanced"'):
        bs.Loader(bs.open(np.arange(10.0)), batch_size=2, order="even")
