"""A row of several files is named by its file, and by its number there."""

import io

import numpy as np
import pytest
from PIL import Image

import bitesize as bs

pa = pytest.importorskip("pyarrow")


def image(value):
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (value, 0, 0)).save(file, "PNG")
    return file.getvalue()


def write(kind, folder, parts=4, rows=30, bad=(3, 21)):
    """Write files of images, one of which is damaged."""
    for part in range(parts):
        images = [b"\x89PNG broken" if (part, i) == bad else image(i) for i in range(rows)]
        table = pa.table({"image": pa.array(images, pa.binary()), "label": [i % 2 for i in range(rows)]})
        if kind == "parquet":
            pytest.importorskip("pyarrow.parquet").write_table(table, folder / f"part-{part}.parquet", row_group_size=7)
        else:
            pytest.importorskip("pyarrow.feather").write_feather(table, str(folder / f"part-{part}.feather"), chunksize=7)


@pytest.mark.parametrize("kind", ["parquet", "feather"])
def test_bad_rows_are_named_by_their_file_and_row(tmp_path, kind):
    write(kind, tmp_path)
    source = bs.open(tmp_path)
    there = f"{tmp_path / f'part-3.{kind}'}, row 21"
    assert source.describe(111) == there
    assert source.subset([111]).describe(0) == there
    settings = {"batch_size": 10, "memory": "64 MiB", "shuffle": False, "transforms": [bs.Resize(8)]}
    with bs.Loader(source, **settings, on_error="skip") as loader:
        seen = sum(int(batch.mask.sum()) for batch in loader)
        assert [(bad.row, bad.path) for bad in loader.bad] == [(111, there)]
        assert seen == 119
    with bs.Loader(source, **settings) as loader, pytest.raises(bs.BadFile, match=rf"part-3\.{kind}, row 21"):
        for batch in loader:
            del batch


@pytest.mark.parametrize("kind", ["parquet", "feather"])
def test_missing_values_are_named_by_their_file_and_row(tmp_path, kind):
    for part in range(2):
        labels = ["a", None if part else "b", "a"]
        table = pa.table({"v": [1.0, 2.0, 3.0], "label": labels})
        if kind == "parquet":
            pytest.importorskip("pyarrow.parquet").write_table(table, tmp_path / f"{part}.parquet")
        else:
            pytest.importorskip("pyarrow.feather").write_feather(table, str(tmp_path / f"{part}.feather"))
    with pytest.raises(bs.BadFile, match=rf"'label' of .*1\.{kind} has no value in row 1"):
        bs.open(tmp_path)


def test_feather_files_of_other_columns_are_refused(tmp_path):
    feather = pytest.importorskip("pyarrow.feather")
    feather.write_feather(pa.table({"a": [1.0]}), str(tmp_path / "0.feather"))
    feather.write_feather(pa.table({"b": [1.0]}), str(tmp_path / "1.feather"))
    with pytest.raises(bs.BadFile, match=r"1\.feather has the columns b \(double\), and .*0\.feather a \(double\)"):
        bs.open(tmp_path)


def test_feather_files_may_have_other_classes_each(tmp_path):
    feather = pytest.importorskip("pyarrow.feather")
    for i, label in enumerate("ab"):
        feather.write_feather(pa.table({"v": [1.0, 2.0], "label": [label] * 2}), str(tmp_path / f"{i}.feather"))
    source = bs.open(tmp_path)
    assert (source.classes, source.labels.tolist()) == (("a", "b"), [0, 0, 1, 1])


def test_opening_images_with_labels_of_text_does_not_read_the_images(tmp_path, monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = 400
    images = [np.random.default_rng(i).bytes(20_000) for i in range(rows)]
    images[0] = image(0)
    table = pa.table({"image": pa.array(images, pa.binary()), "label": ["ab"[i % 2] for i in range(rows)]})
    parquet.write_table(table, tmp_path / "t.parquet", row_group_size=20)
    from bitesize.sources.parquet import Parquet

    plain, read = Parquet._read_group, []
    monkeypatch.setattr(Parquet, "_read_group", lambda self, *rest: read.append(rest[-1]) or plain(self, *rest))
    for mode in ("auto", "RGB", "unchanged"):
        assert bs.open(tmp_path / "t.parquet", mode=mode).classes == ("a", "b")
    assert read
    assert all(columns == ["label"] for columns in read)


def test_what_is_missing_is_named_as_pip_installs_it():
    from bitesize.sources.base import Source
    from bitesize.sources.registry import need

    class Other(Source):
        title, package = "other files", "a_package_that_is_nowhere"

        def __len__(self):
            return 0

        def read(self, rows, into):
            """Read nothing."""

        def _identity(self):
            return b""

    with pytest.raises(
        bs.MissingPackage, match=r"other files need a_package_that_is_nowhere: pip install a_package_that_is_nowhere$"
    ):
        need(Other)
