"""`bitesize predict`: a line for every file that is given, in order, whatever is in it."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.test_train_values import refused, run

import bitesize as bs

pytest.importorskip("skops")
CLASSES = ("狗 Dogs1", "猫 Cats1")


def picture(i):
    random = np.random.default_rng(i)
    pixels = random.integers(40, 90, (30 + i % 3, 40, 3), np.uint8)
    pixels[:, :20] += np.uint8(150 * (i % 2))
    return Image.fromarray(pixels)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run on `.npy` files of (16, 16, 3) floats, and the folder of photographs that they were made from."""
    top = tmp_path_factory.mktemp("数据")
    for i in range(40):
        for form in ("照片", "arrays"):
            (top / form / CLASSES[i % 2]).mkdir(parents=True, exist_ok=True)
        picture(i).save(top / "照片" / CLASSES[i % 2] / f"{i:02}.png")
        small = picture(i).resize((16, 16), Image.Resampling.BILINEAR)
        np.save(top / "arrays" / CLASSES[i % 2] / f"{i:02}.npy", np.asarray(small, np.float64))
    options = ["--model", "sklearn:SGDClassifier", "--epochs", 6, "--memory", "32MiB"]
    run("train", top / "arrays", *options, "--out", top / "run")
    return top / "run", top / "照片"


@pytest.fixture
def given(trained, tmp_path):
    """Files as people have them in one folder."""
    folder = tmp_path / "新照片"
    folder.mkdir()
    for i in (1, 2, 10):
        picture(i).save(folder / f"{i}.png")
    (folder / "3.jpg").write_text("no image")
    (folder / "4.JXL").write_bytes(b"\xff\x0a" + bytes(99))
    (folder / "5.docx").write_bytes(b"PK")
    np.save(folder / "6.npy", np.asarray(picture(3), np.float64))
    (folder / "Thumbs.db").write_bytes(b"")
    return folder


def lines_of(path):
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def names(lines):
    return [Path(line["path"]).name for line in lines]


def test_every_file_has_a_line_in_order(trained, given, tmp_path):
    done = run("predict", trained[0], given, "--out", tmp_path / "p.csv")
    lines = lines_of(tmp_path / "p.csv")
    assert names(lines) == ["1.png", "2.png", "3.jpg", "4.JXL", "5.docx", "6.npy", "10.png"]
    assert [line["predicted"] for line in lines] == [CLASSES[1], CLASSES[0], "", "", "", CLASSES[1], CLASSES[0]]
    for line, says in zip(
        lines[2:5], ("not an image", "JPEG XL is not supported", "neither an image nor a .npy"), strict=True
    ):
        assert says in line["error"]
        assert line[f"p_{CLASSES[0]}"] == ""
    assert all(not line["error"] for line in lines if line["predicted"])
    assert "4 predictions in" in done.stdout
    assert "3 rows have no prediction; the column error has the reason" in done.stdout
    assert f"{CLASSES[0]} 2, {CLASSES[1]} 2" in done.stdout
    assert "4.JXL: JPEG XL is not supported" in done.stdout
    assert "left out  1 hidden or system file" in done.stdout
    assert "images are resized to 16 x 16" in done.stdout


def test_several_files_folders_and_globs_are_taken_in_the_order_given(trained, given, tmp_path):
    photos = trained[1] / CLASSES[0]
    arguments = [given / "10.png", given / "4.JXL", photos, given / "?.png", given / "6.npy"]
    run("predict", trained[0], *arguments, "--out", tmp_path / "p.csv")
    lines = lines_of(tmp_path / "p.csv")
    inner = [f"{i:02}.png" for i in range(0, 40, 2)]
    assert names(lines) == ["10.png", "4.JXL", *inner, "1.png", "2.png", "6.npy"]
    assert [line["predicted"] for line in lines[2:22]].count(CLASSES[0]) >= 18
    found = bs.load(trained[0]).predict([str(each) for each in arguments])
    assert [label or "" for label in found.labels] == [line["predicted"] for line in lines]
    values = [[float(line[f"p_{name}"] or "nan") for name in CLASSES] for line in lines]
    np.testing.assert_allclose(values, found.probabilities, atol=1e-5)


def test_the_csv_opens_in_excel_and_with_bs_open(trained, tmp_path):
    run("predict", trained[0], trained[1], "--out", tmp_path / "p.csv")
    data = (tmp_path / "p.csv").read_bytes()
    assert data.startswith("\ufeffpath,predicted,".encode())
    assert CLASSES[0] in next(csv.reader(io.StringIO(data.decode("utf-8-sig"))))[2]
    source = bs.open(tmp_path / "p.csv", labels="predicted")
    assert (len(source), source.classes) == (40, CLASSES)
    assert source[0]["path"] == str(trained[1] / CLASSES[0] / "00.png")
    assert source[0]["x"].shape == (30, 40, 3)


def test_predictions_of_last_time_beside_the_files_change_nothing(trained, given, monkeypatch):
    monkeypatch.chdir(given)
    run("predict", trained[0], ".")
    picture(5).save(given / "11.png")
    run("predict", trained[0], ".", "--overwrite")
    lines = lines_of(given / "predictions.csv")
    assert names(lines) == ["1.png", "2.png", "3.jpg", "4.JXL", "5.docx", "6.npy", "10.png", "11.png", "predictions.csv"]
    assert lines[7]["predicted"] == CLASSES[1]


def test_json_is_one_object_and_a_file_is_written_only_with_out(trained, given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = json.loads(run("predict", trained[0], given, "--json").stdout)
    assert (told["classes"], told["rows"], told["errors"]) == ([*CLASSES], 7, 3)
    rows = told["predictions"]
    assert [row["predicted"] for row in rows[:3]] == [CLASSES[1], CLASSES[0], None]
    assert sum(rows[0]["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert rows[0]["error"] is rows[2]["probabilities"] is None
    assert "not an image" in rows[2]["error"]
    assert any("images are resized" in line for line in told["said"])
    assert not (tmp_path / "predictions.csv").exists()
    run("predict", trained[0], given, "--json", "--out", "p.csv")
    assert len(lines_of(tmp_path / "p.csv")) == 7


def test_missing_files_are_named_before_any_work_and_nothing_is_written(trained, given, tmp_path):
    out = tmp_path / "p.csv"
    said = refused("predict", trained[0], given / "1.png", "gone.jpg", given / "lost.png", "--out", out)
    assert f"2 of 3 paths do not exist: gone.jpg, {given / 'lost.png'}" in said
    assert "no file matches" in refused("predict", trained[0], given / "*.bmp", "--out", out)
    assert "not an image" in refused(
        "predict", trained[0], given / "3.jpg", given / "1.png", "--on-error", "raise", "--out", out
    )
    assert not out.exists()


def test_where_nothing_could_be_predicted_the_lines_say_why_and_it_is_an_error(trained, given, tmp_path):
    assert "JPEG XL" in refused("predict", trained[0], given / "4.JXL", given / "3.jpg", "--out", tmp_path / "p.csv")
    lines = lines_of(tmp_path / "p.csv")
    assert names(lines) == ["4.JXL", "3.jpg"]
    assert "JPEG XL" in lines[0]["error"]


def test_rows_of_tables_are_named_by_their_own_file_and_row(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    buffers = []
    for i in range(12):
        buffer = io.BytesIO()
        picture(i).save(buffer, "PNG")
        buffers.append(buffer.getvalue() if i != 7 else b"damaged")
    for part in range(3):
        rows = range(part * 4, part * 4 + 4)
        frame = {"image": [buffers[i] for i in rows], "kind": [("a", "b")[i % 2] for i in rows]}
        (tmp_path / "data").mkdir(exist_ok=True)
        pandas.DataFrame(frame).to_parquet(tmp_path / "data" / f"part-{part}.parquet")
    options = [
        "--labels",
        "kind",
        "--model",
        "sklearn:GaussianNB",
        "--image-size",
        16,
        "--on-error",
        "skip",
        "--max-bad",
        0.2,
    ]
    run("train", tmp_path / "data", *options, "--val-split", 0, "--epochs", 1, "--out", tmp_path / "run")
    run("predict", tmp_path / "run", tmp_path / "data", "--out", tmp_path / "p.csv")
    lines = lines_of(tmp_path / "p.csv")
    expected = [f"{tmp_path}/data/part-{i // 4}.parquet, row {i % 4}" for i in range(12)]
    assert [line["path"] for line in lines] == expected
    assert [i for i, line in enumerate(lines) if line["error"]] == [7]
    assert "not an image" in lines[7]["error"]


def features(pandas, rows):
    random = np.random.default_rng(0)
    return pandas.DataFrame({"a": random.normal(size=rows), "b": random.normal(size=rows)})


def tags_of(i):
    return "|".join(name for name, there in (("left", i % 2), ("top", i // 2 % 2)) if there)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("column", ["class", "price", "tags"])
def test_rows_whose_label_is_empty_are_predicted_as_others(tmp_path, kind, column):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = features(pandas, 40)
    frame["class"] = np.where(frame["a"] > 0, "pos", "neg")
    frame["price"] = 2 * frame["a"] + frame["b"]
    frame["tags"] = [tags_of(i) for i in range(40)]
    frame = frame[["a", "b", column]]
    words = ["--labels", column, *(["--tag-delimiter", "|"] if column == "tags" else []), "--epochs", 1]
    model = {"class": "sklearn:SGDClassifier", "price": "mlp", "tags": "mlp"}[column]
    write = {"csv": lambda path: frame.to_csv(path, index=False), "parquet": lambda path: frame.to_parquet(path)}[kind]
    write(tmp_path / f"train.{kind}")
    run("train", tmp_path / f"train.{kind}", *words, "--model", model, "--out", tmp_path / "run")
    run("predict", tmp_path / "run", tmp_path / f"train.{kind}", "--out", tmp_path / "all.csv")
    frame[column] = frame[column].astype(object)
    frame.loc[[3, 7], column] = None
    for name, rows in (("some", [3, 7]), ("none", range(40))):
        frame.loc[rows, column] = None
        write(tmp_path / f"{name}.{kind}")
        said = run("predict", tmp_path / "run", tmp_path / f"{name}.{kind}", "--out", tmp_path / f"p-{name}.csv").stdout
        assert "labels    none" in said
        expected, lines = (lines_of(tmp_path / file) for file in ("all.csv", f"p-{name}.csv"))
        assert [list(line.values())[1:] for line in lines] == [list(line.values())[1:] for line in expected]


def test_images_without_a_mask_are_predicted_and_masks_are_no_images(tmp_path):
    for part in ("images", "masks"):
        (tmp_path / "data" / part).mkdir(parents=True)
    for i in range(12):
        picture(0).resize((16, 16)).save(tmp_path / "data" / "images" / f"{i:02}.png")
        Image.fromarray(np.eye(16, dtype=np.uint8)).save(tmp_path / "data" / "masks" / f"{i:02}.png")
    run("train", tmp_path / "data", "--epochs", 1, "--batch-size", 4, "--out", tmp_path / "run")
    (tmp_path / "data" / "masks" / "03.png").unlink()
    run("predict", tmp_path / "run", tmp_path / "data", "--out", tmp_path / "p.csv")
    assert names(lines_of(tmp_path / "p.csv")) == [f"{i:02}.png" for i in range(12)]


@pytest.mark.parametrize("name", ["weight", "importance"])
@pytest.mark.parametrize("kind", ["csv", "parquet", "images"])
def test_sample_weights_are_not_needed_for_predictions(tmp_path, kind, name):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = features(pandas, 20)
    if kind == "images":
        frame = pandas.DataFrame({"path": [f"{i}.png" for i in range(20)]})
        for i in range(20):
            picture(i).resize((8, 8)).save(tmp_path / f"{i}.png")
    frame["label"], frame[name] = ["one", "two"] * 10, 1.5
    path = tmp_path / ("data.parquet" if kind == "parquet" else "data.csv")

    def write(frame):
        frame.to_parquet(path) if kind == "parquet" else frame.to_csv(path, index=False)

    write(frame)
    run(
        "train",
        path,
        "--labels",
        "label",
        "--sample-weights",
        name,
        "--model",
        "mlp",
        "--epochs",
        1,
        "--out",
        tmp_path / "run",
    )
    run("predict", tmp_path / "run", path, "--out", tmp_path / "all.csv")
    gaps, names = frame.copy(), ["a", "b", "path"]
    gaps.loc[3, name] = None
    for number, given in enumerate((gaps, frame.drop(columns=name), frame[[each for each in names if each in frame]])):
        write(given)
        run("predict", tmp_path / "run", path, "--out", tmp_path / f"{number}.csv")
        assert (tmp_path / f"{number}.csv").read_bytes() == (tmp_path / "all.csv").read_bytes()


def test_evaluation_names_the_classes_that_the_model_knows(trained, tmp_path):
    data = tmp_path / "data"
    for name in ("Cats1", CLASSES[0]):
        (data / name).mkdir(parents=True)
        picture(1).save(data / name / "1.png")
    said = refused("evaluate", trained[0], data)
    assert f"class 'Cats1' is unknown to this model; its classes are {CLASSES[0]}, {CLASSES[1]}" in said
    assert "confusion matrix (rows: true class, columns: predicted class)" in run("evaluate", trained[0], trained[1]).stdout
