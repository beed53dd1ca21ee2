"""CSV, TSV and JSON lines: tables of paths in all forms that people write, and tables of numbers."""

import json

import numpy as np
import pytest
from PIL import Image

import bitesize as bs
from bitesize.testing import check_source


@pytest.fixture
def images(tmp_path):
    """Write four images in the folder ``i``; return a function that writes a table beside it and opens it."""
    (tmp_path / "i").mkdir()
    for k in range(4):
        Image.new("RGB", (8, 8), (k, 0, 0)).save(tmp_path / "i" / f"{k}.jpg")

    def opened(head, row, name="t.csv", **settings):
        lines = [head, *(row.format(k=k, label="ab"[k % 2]) for k in range(4))]
        (tmp_path / name).write_text("\n".join(lines), encoding="utf-8")
        return bs.open(tmp_path / name, **settings)

    return opened


def said(source):
    return " | ".join(map(str, source.choices))


# --- columns of paths -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "row"),
    [
        ("Filename,Label", "i/{k}.jpg,{label}"),
        ("image_id,label", "i/{k}.jpg,{label}"),
        ("ImageId,label", "i/{k},{label}"),
        ("IMG_PATH,label", "i/{k}.jpg,{label}"),
        (" file path , label ", "i/{k}.jpg,{label}"),
        ("\ufeffpath,label", "i/{k}.jpg,{label}"),
        ("photo,label", "i/{k}.jpg,{label}"),
        ("id,label", "i/{k},{label}"),
        ("path,label", "i/{k},{label}"),
        ("path,label", "i\\{k}.jpg,{label}"),
        ("path,label", ".\\i\\{k}.jpg,{label}"),
        ("whatever,label", "i/{k}.jpg,{label}"),
        ("path;label", "i/{k}.jpg;{label}"),
        ("path\tlabel", "i/{k}.jpg\t{label}"),
        ("path|label", "i/{k}.jpg|{label}"),
    ],
)
def test_paths_are_found_whatever_their_column_is_called(images, head, row):
    source = images(head, row)
    assert (len(source), source.classes, source.labels.tolist()) == (4, ("a", "b"), [0, 1, 0, 1])
    assert [source.describe(k)[-7:] for k in range(4)] == [f"i/{k}.jpg" for k in range(4)]


@pytest.mark.parametrize(
    ("head", "row", "choice"),
    [
        ("image_id,label", "i/{k}.jpg,{label}", "paths: the column 'image_id'"),
        ("path,label", "i/{k},{label}", ".jpg is added to paths without a suffix"),
        ("path,label", "i\\{k}.jpg,{label}", "backslashes in paths are read as /"),
        ("path;label", "i/{k}.jpg;{label}", "columns are separated by ';'"),
    ],
)
def test_what_was_changed_to_find_files_is_said(images, head, row, choice):
    assert choice in said(images(head, row))
    assert choice not in said(images("path,label", "i/{k}.jpg,{label}"))


@pytest.mark.parametrize("folder", ["train", "train_images", "images", "data"])
def test_files_are_found_in_a_folder_beside_the_table(tmp_path, folder):
    (tmp_path / folder).mkdir()
    for k in range(4):
        np.save(tmp_path / folder / f"{k:03}.npy", np.zeros(3))
    (tmp_path / "train.csv").write_text("image_id,label\n" + "".join(f"{k:03},{'ab'[k % 2]}\n" for k in range(4)))
    source = bs.open(tmp_path / "train.csv")
    assert (len(source), source.classes) == (4, ("a", "b"))
    assert f"files are read from {tmp_path / folder}" in said(source)


def test_absolute_paths_are_taken(tmp_path, images):
    assert len(images("path,label", f"{tmp_path}/i/{{k}}.jpg,{{label}}")) == 4


def test_several_files_of_a_stem_are_told_apart_by_the_table_only(tmp_path, images):
    Image.new("RGB", (8, 8)).save(tmp_path / "i" / "2.png")
    with pytest.raises(bs.BadSetting, match=r"'i/2' may refer to .*i/2\.jpg or .*i/2\.png: write the suffix into the table"):
        images("path,label", "i/{k},{label}")


def test_files_that_are_nowhere_are_named(images):
    for head in ("path,label", "image_id,label"):
        with pytest.raises(bs.NotFound, match=r"do not exist below .*: j/0\.jpg, j/1\.jpg"):
            images(head, "j/{k}.jpg,{label}")


def test_a_file_with_two_labels_is_refused_and_one_named_twice_said(images):
    with pytest.raises(bs.BadSetting, match=r"4 files are listed in several rows|3 files are listed in several rows"):
        images("path,label", "i/0.jpg,{k}x")
    assert "3 rows name a file that another row also names" in said(images("path,label", "i/0.jpg,same"))


@pytest.mark.parametrize("lines", [["i/0.jpg,a", "i/1.jpg,b"], ["0.5,1.25", "1.5,2.5"], ["1,1,0", "2,2,1"]])
def test_a_first_line_that_is_a_row_is_not_lost(tmp_path, images, lines):
    (tmp_path / "t.csv").write_text("\n".join(lines))
    with pytest.raises(bs.BadFile, match=r"the first line of .*t\.csv is a row, not column names"):
        bs.open(tmp_path / "t.csv")


def test_another_encoding_is_refused_with_the_way_to_read_it(tmp_path):
    (tmp_path / "t.csv").write_bytes("path,label\ncafé.jpg,a\n".encode("latin-1"))
    with pytest.raises(
        bs.BadFile, match=r"not a table in UTF-8.*Save it as UTF-8, or open pandas.read_csv\('t.csv', encoding="
    ):
        bs.open(tmp_path / "t.csv")


def test_what_became_of_each_column_is_said_and_text_can_be_read(tmp_path, images):
    source = images("path,count,patient,diagnosis", "i/{k}.jpg,{k},p{k},{label}{label}", labels="diagnosis")
    assert list(source.left_out) == ["patient: text that is not a label"]
    assert source.column("patient").tolist() == ["p0", "p1", "p2", "p3"]
    assert source.column("Patient").tolist() == ["p0", "p1", "p2", "p3"]
    assert source.column("diagnosis").tolist() == ["aa", "bb", "aa", "bb"]
    assert source.column("count").tolist() == [0, 1, 2, 3]
    assert source.subset([2, 0]).column("patient").tolist() == ["p2", "p0"]
    with pytest.raises(bs.BadSetting, match=r"no column 'doctor': the columns are path, count, patient, diagnosis"):
        source.column("doctor")
    (tmp_path / "t.csv").write_text("path,patient\ni/0.jpg,other\n")
    with pytest.raises(bs.FileChanged):
        source.column("patient")


# --- JSON -------------------------------------------------------------------------------------------------------------


def records(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_metadata_of_json_lines_describes_a_folder(tmp_path):
    for i in range(4):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{i}.png")
    rows = [{"file_name": f"{i}.png", "label": "ab"[i % 2], "objects": {"bbox": [1, 2]}} for i in range(4)]
    (tmp_path / "metadata.jsonl").write_text(records(rows))
    for source in (bs.open(tmp_path), bs.open(tmp_path / "metadata.jsonl"), bs.open(str(tmp_path), split=None)):
        assert (source.classes, source.labels.tolist()) == (("a", "b"), [0, 1, 0, 1])
        assert "objects: lists or objects" in source.left_out
    (tmp_path / "metadata.jsonl").rename(tmp_path.parent / "other.jsonl")
    source = bs.open(tmp_path, labels=tmp_path.parent / "other.jsonl")
    assert (source.classes, source.labels.tolist()) == (("a", "b"), [0, 1, 0, 1])
    (tmp_path.parent / "list.json").write_text(json.dumps(rows))
    source = bs.open(tmp_path, labels=tmp_path.parent / "list.json")
    assert (source.classes, source.labels.tolist()) == (("a", "b"), [0, 1, 0, 1])


def test_another_table_than_the_metadata_of_a_folder_may_be_given(tmp_path, monkeypatch):
    for i in range(2):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{i}.png")
    (tmp_path / "metadata.jsonl").write_text(records({"file_name": f"{i}.png", "label": "ab"[i]} for i in range(2)))
    (tmp_path / "mine.csv").write_text("path,label\n0.png,u\n1.png,v\n")
    assert bs.open(tmp_path, labels=tmp_path / "mine.csv").classes == ("u", "v")
    assert bs.open(tmp_path, labels=tmp_path / "metadata.jsonl").classes == ("a", "b")
    assert bs.open(tmp_path, labels="label").classes == ("a", "b")
    monkeypatch.chdir(tmp_path)
    assert bs.open(".", labels="mine.csv").classes == ("u", "v")


def test_json_lines_that_are_none_are_named_by_line(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"file_name": "0.png"}\n{"file_name": \n')
    with pytest.raises(bs.BadFile, match=r"line 2 of .*t\.jsonl is not valid JSON"):
        bs.open(tmp_path / "t.jsonl")
    (tmp_path / "t.jsonl").write_text("[1, 2]\n")
    with pytest.raises(bs.BadFile, match=r"record 1 of .*t\.jsonl is list, but an object is needed"):
        bs.open(tmp_path / "t.jsonl")


# --- numbers ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def pandas():
    pytest.importorskip("pyarrow")
    return pytest.importorskip("pandas")


def test_a_csv_of_numbers_is_read_and_counted(tmp_path, pandas):
    frame = pandas.DataFrame(np.arange(80.0).reshape(20, 4), columns=list("abcd")).assign(label=np.arange(20) % 2)
    frame.to_csv(tmp_path / "num.csv", index=False)
    source = bs.open(tmp_path / "num.csv")
    assert (source.spec["x"], source.spec["y"]) == (bs.Field((4,), np.dtype("f8")), bs.Field((), np.dtype("i8")))
    assert source.nbytes >= 20 * 4 * 8
    with bs.Loader(source, batch_size=20, memory="32 MiB", shuffle=False) as loader:
        batch = next(iter(loader))
        assert batch["x"].tolist() == np.arange(80.0).reshape(20, 4).tolist()
        assert batch["y"].tolist() == (np.arange(20) % 2).tolist()
        del batch
    check_source(source)


def test_a_row_of_a_csv_is_named_by_its_line(tmp_path, pandas):
    (tmp_path / "n.csv").write_text("a,b\n1,2\n3,4\n")
    assert bs.open(tmp_path / "n.csv").describe(1) == f"{tmp_path / 'n.csv'}, line 3"
    (tmp_path / "n.csv").write_text("a,b\n\n1,2\n\n3,4\n")
    assert bs.open(tmp_path / "n.csv").describe(1) == f"{tmp_path / 'n.csv'}, row 1"


def test_parts_of_a_csv_of_numbers_are_chosen_by_its_column(tmp_path, pandas):
    rows = "".join(f"{i}.5,{'ab'[i % 2]},{'train' if i < 6 else 'val'}\n" for i in range(8))
    (tmp_path / "n.csv").write_text(f"a,label,Split\n{rows}")
    with pytest.raises(bs.BadSetting, match=r"has splits \(train, val\)"):
        bs.open(tmp_path / "n.csv")
    val = bs.open(tmp_path / "n.csv", split="val")
    assert (len(val), val.classes, val.feature_names) == (2, ("a", "b"), ("a",))


def test_numbers_as_names_of_columns_are_names(tmp_path, pandas):
    pandas.DataFrame(np.zeros((3, 4))).to_csv(tmp_path / "n.csv", index=False)
    assert bs.open(tmp_path / "n.csv").feature_names == ("0", "1", "2", "3")


def test_a_csv_without_paths_and_numbers_names_its_columns(tmp_path, pandas):
    (tmp_path / "n.csv").write_text("name,label\nbob,a\nann,b\n")
    with pytest.raises(bs.BadFile, match=r"no column of paths .* and no column of numbers: it has name, label"):
        bs.open(tmp_path / "n.csv")
    (tmp_path / "n.csv").write_text("image_id,label\n1,a\n2,b\n")
    with pytest.raises(
        bs.BadFile, match=r"'image_id' .* no such files are next to it: bs\.open\(FOLDER, labels='.*n\.csv'\)"
    ):
        bs.open(tmp_path / "n.csv")


def test_a_csv_a_recording_is_refused_with_the_lines_that_make_npy_of_it(tmp_path, monkeypatch, pandas):
    for name in ("x/0", "x/1", "y/0"):
        path = tmp_path / "rec" / f"{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        pandas.DataFrame(np.full((10, 3), len(name)), columns=["t", "ax", "ay"]).to_csv(path, index=False)
    with pytest.raises(bs.BadSetting, match=r"3 tables of numbers.* without a column of labels") as error:
        bs.open(tmp_path / "rec")
    lines = [line.strip() for line in str(error.value).splitlines() if line.startswith("  ")]
    monkeypatch.chdir(tmp_path / "rec")
    exec("\n".join(lines), {})
    for path in (tmp_path / "rec").rglob("*.csv"):
        path.unlink()
    assert str(bs.open(tmp_path / "rec")).startswith("NpyFiles(3 rows of {x: (10, 3) float64")


def test_tables_of_numbers_with_labels_are_joined(tmp_path, pandas):
    for i in range(2):
        (tmp_path / f"{i}.csv").write_text(f"a,label\n{i}.5,a\n{i}.25,b\n")
    source = bs.open([tmp_path / "0.csv", tmp_path / "1.csv"])
    assert (len(source), source.labels.tolist()) == (4, [0, 1, 0, 1])
    assert source.describe(3) == f"{tmp_path / '1.csv'}, line 3"


def test_a_csv_that_is_too_large_is_refused_with_the_lines_that_make_parquet_of_it(tmp_path, monkeypatch, pandas):
    from bitesize.memory.limits import Limit
    from bitesize.sources import csv_numbers

    pandas.DataFrame(np.arange(4000.0).reshape(1000, 4), columns=list("abcd")).to_csv(tmp_path / "n.csv", index=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(csv_numbers, "available", lambda: Limit("a small machine", 10_000))
    with pytest.raises(bs.DoesNotFit, match=r"n\.csv has .* of text, but a quarter of the available memory") as error:
        bs.open("n.csv")
    exec("\n".join(line.strip() for line in str(error.value).splitlines()[1:]), {})
    assert len(bs.open("n.parquet")) == 1000


def test_data_that_was_moved_has_the_same_fingerprint(tmp_path):
    def fingerprints(home):
        for i in range(4):
            path = home / "ab"[i % 2] / f"{i}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, np.full(3, i))
        (home / "labels.csv").write_text(
            "path,label\n" + "".join(f"{'ab'[i % 2]}/{i}.npy,{'xy'[i % 2]}\n" for i in range(4))
        )
        files = sorted(home.glob("?/*.npy"))
        opened = [bs.open(home / "labels.csv"), bs.open(files), bs.open(str(home / "?" / "*.npy"), labels=False)]
        opened += [bs.open({"x": str(home / "a"), "y": str(home / "b")}), bs.open([(path, 0) for path in files])]
        return [source.fingerprint() for source in opened]

    assert fingerprints(tmp_path / "here") == fingerprints(tmp_path / "there" / "below")
