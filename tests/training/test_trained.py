"""`bs.load`: a trained run in one's own script predicts whatever people have, in the order given."""

from __future__ import annotations

import io
import json
import logging
import os

import numpy as np
import pytest
from PIL import Image
from tests.conftest import compiled_once
from typer.testing import CliRunner

import bitesize as bs
from bitesize.cli.app import app

pytest.importorskip("skops")
SIDE = 24
WIDTHS, HEIGHTS = (60, 75, 48), (50, 64)


def picture(i):
    """Make a smooth image: odd ones are brighter on the left."""
    random = np.random.default_rng(i)
    small = random.integers(60, 120, (4, 5, 3), np.uint8)
    small[:, :2] += np.uint8(120 * (i % 2))
    return Image.fromarray(small).resize((WIDTHS[i % 3], HEIGHTS[i % 2]), Image.Resampling.BICUBIC)


def as_array(image, side=SIDE):
    return np.asarray(image.resize((side, side), Image.Resampling.BILINEAR), np.float64)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Photographs of several sizes, and the arrays that were made from them."""
    top = tmp_path_factory.mktemp("load")
    for i in range(48):
        kind = ("dull", "left")[i % 2]
        for form in ("photos", "arrays"):
            (top / form / kind).mkdir(parents=True, exist_ok=True)
        picture(i).save(top / "photos" / kind / f"{i:02}.png")
        np.save(top / "arrays" / kind / f"{i:02}.npy", as_array(picture(i)))
    return top


def run(*arguments, code=0):
    done = CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "200"})
    assert done.exit_code == code, done.output
    return done


def trained(data, out, *options):
    run(
        "train",
        data,
        "--epochs",
        6,
        "--val-split",
        0.2,
        "--memory",
        "32MiB",
        "--batch-size",
        8,
        "--out",
        out,
        "--json",
        *options,
    )
    return out


@pytest.fixture(scope="module")
def of_arrays(data, tmp_path_factory):
    return bs.load(trained(data / "arrays", tmp_path_factory.mktemp("runs") / "arrays", "--model", "sklearn:SGDClassifier"))


@pytest.fixture(scope="module")
def of_photos(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "photos"
    with compiled_once(out.parent / "compiled"):
        return bs.load(trained(data / "photos", out, "--model", "mlp", "--image-size", SIDE))


def probabilities(model, what, **settings):
    return model.predict(what, memory="32 MiB", **settings).probabilities


def test_a_run_is_loaded_with_all_that_it_knows(of_arrays, of_photos, data):
    assert of_arrays.classes == of_photos.classes == ("dull", "left")
    assert type(of_arrays.model).__name__ == "SGDClassifier"
    assert of_photos.model.output_shape == (None, 2)
    assert of_photos.input_shape == (SIDE, SIDE, 3)
    assert type(of_photos.transforms[0]).__name__ == "Resize"
    assert of_photos.settings["image_size"] == SIDE
    assert of_photos.config["settings"] is of_photos.settings
    assert bs.load(of_photos.folder / "model.keras").classes == of_photos.classes
    assert "photos': mlp, rows of 24 x 24 x 3, classes dull, left, validation accuracy" in repr(of_photos)
    with bs.Loader(
        bs.open(data / "photos"), batch_size=48, shuffle=False, transforms=of_photos.transforms, memory="32 MiB"
    ) as loader:
        (batch,) = loader
        outputs = of_photos.model.predict_on_batch(batch["x"])
        del batch
    exp = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    np.testing.assert_allclose(exp / exp.sum(axis=1, keepdims=True), probabilities(of_photos, data / "photos"), atol=1e-4)


@pytest.mark.parametrize("name", ["of_arrays", "of_photos"])
def test_a_photograph_is_answered_as_the_array_that_was_made_from_it(name, data, request):
    model = request.getfixturevalue(name)
    photos, arrays = probabilities(model, data / "photos"), probabilities(model, data / "arrays")
    assert photos.shape == (48, 2)
    assert photos.dtype == np.float32
    np.testing.assert_allclose(photos, arrays, atol=0.06)
    truth = np.repeat([0, 1], 24)
    assert (photos.argmax(axis=1) == truth).mean() > 0.9


@pytest.mark.parametrize("name", ["of_arrays", "of_photos"])
def test_every_form_of_the_same_rows_gets_the_same_answer(name, data, request):
    model = request.getfixturevalue(name)
    paths = [data / "arrays" / ("dull", "left")[i % 2] / f"{i:02}.npy" for i in (7, 2, 3)]
    arrays = [np.load(path) for path in paths]
    expected = probabilities(model, paths)
    forms = [
        np.stack(arrays),
        arrays,
        np.stack(arrays).astype(np.float32),
        [str(path) for path in paths],
        bs.open(np.stack(arrays)),
    ]
    for form in forms:
        np.testing.assert_allclose(probabilities(model, form), expected, atol=1e-5)
    np.testing.assert_allclose(probabilities(model, arrays[0]), expected[:1], atol=1e-5)
    np.testing.assert_allclose(probabilities(model, np.stack(arrays).round().astype(np.uint8)), expected, atol=1e-2)
    photos = [data / "photos" / path.parent.name / f"{path.stem}.png" for path in paths]
    expected = probabilities(model, photos)
    np.testing.assert_allclose(probabilities(model, [Image.open(path) for path in photos]), expected, atol=1e-5)
    np.testing.assert_allclose(probabilities(model, Image.open(photos[1])), expected[1:2], atol=1e-5)
    np.testing.assert_allclose(probabilities(model, np.asarray(Image.open(photos[1]))), expected[1:2], atol=1e-5)
    pattern = str(data / "photos" / "left" / "0*.png")
    assert [path[-6:] for path in model.predict(pattern).paths] == ["01.png", "03.png", "05.png", "07.png", "09.png"]
    np.testing.assert_allclose(probabilities(model, pattern)[3:4], expected[:1], atol=1e-5)


def test_what_was_adapted_is_in_the_result_and_in_the_log(of_arrays, data, caplog):
    caplog.set_level(logging.INFO, "bitesize")
    line = f"images are resized to {SIDE} x {SIDE}, the shape of the run's rows"
    assert of_arrays.predict(data / "photos").said == (line,)
    assert f"predict: {line}" in caplog.text
    assert of_arrays.predict(data / "arrays").said == ()
    (said,) = of_arrays.predict(np.zeros((SIDE, SIDE, 3), np.uint8)).said
    assert said == f"x: the array is one row: ({SIDE}, {SIDE}, 3) is the shape of the run's rows"


@pytest.fixture
def mixed(data, tmp_path):
    """A folder as people have it: photographs, arrays of several sizes, and what is neither."""
    folder = tmp_path / "mixed"
    (folder / "more").mkdir(parents=True)
    picture(1).save(folder / "01.png")
    np.save(folder / "02.npy", as_array(picture(1)))
    np.save(folder / "03.npy", np.asarray(picture(1)))
    (folder / "04.jpg").write_text("no image")
    (folder / "05.JXL").write_bytes(b"\xff\x0a" + bytes(99))
    (folder / "06.txt").write_text("notes")
    np.save(folder / "07.npy", np.full((SIDE, SIDE, 3), np.nan))
    np.save(folder / "08.npy", as_array(picture(1))[..., 0])
    (folder / "09.npy").write_bytes(b"no array")
    picture(2).save(folder / "more" / "10", "PNG")  # without a suffix
    (folder / ".hidden").write_bytes(b"")
    return folder


@pytest.mark.parametrize("name", ["of_arrays", "of_photos"])
def test_every_file_keeps_its_place_and_those_without_a_prediction_say_why(name, mixed, request, caplog):
    model = request.getfixturevalue(name)
    found = model.predict(mixed, memory="32 MiB")
    assert [path[-7:].lstrip("d/emor") for path in found.paths][:3] == ["01.png", "02.npy", "03.npy"]
    assert found.labels == ["left", "left", "left", *[None] * 6, "dull"]
    says = {
        3: "not an image",
        4: "JPEG XL",
        5: "neither an image nor a .npy",
        6: "NaN or infinite",
        7: f"data has ({SIDE}, {SIDE})",
        8: ".npy file",
    }
    assert {row: text in found.errors[row] for row, text in says.items()} == dict.fromkeys(says, True)
    assert set(found.errors) == set(says)
    assert np.isnan(found.probabilities[3:9]).all()
    assert "6 rows have no prediction" in caplog.text
    assert any("left out: 1 hidden" in line for line in found.said)
    with pytest.raises(bs.BitesizeError, match=r"04.jpg|05.JXL"):
        model.predict(mixed, on_error="raise")
    np.testing.assert_allclose(found.probabilities[1], found.probabilities[2], atol=0.06)


def test_a_result_is_a_sequence_of_path_label_and_probability(of_arrays, data):
    found = of_arrays.predict([data / "photos" / "left" / "01.png", data / "photos" / "dull" / "00.png"])
    rows = [(path[-6:], label, round(probability, 3)) for path, label, probability in found]
    best = found.probabilities.max(axis=1).round(3).tolist()
    assert rows == [
        ("01.png", "left", pytest.approx(best[0], abs=1e-3)),
        ("00.png", "dull", pytest.approx(best[1], abs=1e-3)),
    ]
    assert (len(found), found[-1].label, [each.label for each in found[:1]]) == (2, "dull", ["left"])
    assert "01.png: left 1.000" in repr(found) or "01.png: left 0.9" in repr(found)
    with pytest.raises(IndexError):
        found[2]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda x: x / 255, "multiply the data by 255 first"),
        (lambda x: x / 127.5 - 1, "scale the data to 0 to 255 first"),
        (lambda x: (x - 128) / 40, "scale the data to 0 to 255 first"),
        (lambda x: (x * 200).astype(np.uint16), "scale the data to 0 to 255 first"),
        (lambda x: x[..., :2], r"trained on rows of shape \(24, 24, 3\), but the data has"),
        (lambda x: x[:, :, 0], r"trained on rows of shape \(24, 24, 3\), but the data has"),
        (lambda x: x.reshape(-1), r"trained on rows of shape \(24, 24, 3\), but the data has"),
    ],
)
@pytest.mark.parametrize("name", ["of_arrays", "of_photos"])
def test_rows_of_other_units_or_shapes_are_refused(name, change, says, request):
    model = request.getfixturevalue(name)
    rows = change(np.stack([as_array(picture(i)) for i in range(4)])[0])
    with pytest.raises(bs.BadSetting, match=says):
        model.predict(rows[None])


def test_a_run_of_values_from_0_to_1_takes_photographs_and_refuses_what_it_cannot_know(data, tmp_path):
    for i in range(24):
        for name, change in (
            ("unit", lambda x: x / 255),
            ("signed", lambda x: x / 127.5 - 1),
            ("other", lambda x: x * 10 - 900),
            ("narrow", lambda x: x / 16),
        ):
            path = tmp_path / name / ("dull", "left")[i % 2] / f"{i:02}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, change(as_array(picture(i))))
    model = bs.load(trained(tmp_path / "unit", tmp_path / "run-unit", "--model", "sklearn:SGDClassifier"))
    found = model.predict(data / "photos")
    assert any("scaled by 1/255" in line for line in found.said)
    np.testing.assert_allclose(found.probabilities[:12], probabilities(model, tmp_path / "unit")[:12], atol=0.06)
    with pytest.raises(bs.BadSetting, match="divide the data by 255"):
        model.predict(np.full((SIDE, SIDE, 3), 255.0))
    assert (
        model.predict(np.full((SIDE, SIDE, 3), 20.0))
        .said[-1]
        .startswith("warning: the run was trained on values of float64")
    )
    with pytest.raises(bs.BadSetting, match="scale the data to 0 to 1 first"):
        model.predict(tmp_path / "signed")
    for name in ("signed", "other", "narrow"):
        model = bs.load(trained(tmp_path / name, tmp_path / f"run-{name}", "--model", "sklearn:SGDClassifier"))
        with pytest.raises(bs.BadSetting, match=r"the run was trained on values of|values that the run was trained on"):
            model.predict(data / "photos")


def test_a_run_of_gray_rows_takes_photographs_in_gray(data, tmp_path):
    for i in range(24):
        path = tmp_path / "gray" / ("dull", "left")[i % 2] / f"{i:02}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, as_array(picture(i).convert("L")))
    model = bs.load(trained(tmp_path / "gray", tmp_path / "run", "--model", "sklearn:SGDClassifier"))
    assert model.input_shape == (SIDE, SIDE)
    expected = probabilities(model, tmp_path / "gray")
    photos = [data / "photos" / ("dull", "left")[i % 2] / f"{i:02}.png" for i in [*range(0, 24, 2), *range(1, 24, 2)]]
    np.testing.assert_allclose(probabilities(model, photos), expected, atol=0.06)
    assert model.evaluate(data / "photos")["accuracy"] > 0.9
    np.testing.assert_allclose(probabilities(model, as_array(picture(3).convert("L"))[..., None]), expected[[13]], atol=1e-5)


def test_a_photograph_of_pillow_is_turned_as_its_file_is(of_photos, tmp_path):
    image = picture(1).rotate(90, expand=True)
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.png", exif=exif)
    clear = picture(1).convert("RGBA")
    clear.putalpha(90)
    clear.save(tmp_path / "clear.png")
    picture(1).convert("P").save(tmp_path / "palette.png")
    picture(1).convert("L").save(tmp_path / "gray.png")
    for name in ("turned", "clear", "palette", "gray"):
        path = tmp_path / f"{name}.png"
        np.testing.assert_allclose(probabilities(of_photos, Image.open(path)), probabilities(of_photos, path), atol=1e-5)
    with pytest.raises(bs.BadFile, match="more than 8 bits"):
        of_photos.predict(Image.fromarray(np.zeros((30, 30), np.float32)))


def test_evaluation_is_that_of_the_command(of_arrays, data):
    result = json.loads(run("evaluate", of_arrays.folder, data / "photos", "--json").stdout)
    assert of_arrays.evaluate(data / "photos") == result
    assert (result["rows"], result["classes"]) == (48, ["dull", "left"])
    x = np.stack([as_array(picture(i)) for i in range(8)])
    kinds = [("dull", "left")[i % 2] for i in range(8)]
    assert of_arrays.evaluate(x, kinds) == of_arrays.evaluate(bs.open(x, kinds))
    with pytest.raises(bs.BadSetting, match="class 'bright' is unknown to this model; its classes are dull, left"):
        of_arrays.evaluate(x, ["bright", "dull"] * 4)
    with pytest.raises(bs.BadSetting, match="has no classes"):
        of_arrays.evaluate(x)
    x[3] = np.nan
    with pytest.raises(bs.BadFile, match="row 3: values that are NaN"):
        of_arrays.evaluate(x, kinds)
    result = of_arrays.evaluate(x, kinds, on_error="skip")
    assert (result["rows"], result["bad_rows"], [bad["row"] for bad in result["bad"]]) == (7, 1, [3])


def test_memory_is_bounded_by_the_budget(of_arrays, tmp_path):
    for i in range(300):
        np.save(tmp_path / f"{i:03}.npy", np.full((150, 150, 3), i % 256, np.float64))  # 155 MiB in all
    budget = bs.Budget("12 MiB")
    found = of_arrays.predict(tmp_path, memory=budget)
    assert len(found) == 300
    assert not found.errors
    assert budget.peak <= budget.total
    assert budget.in_use == 0
    with pytest.raises(bs.DoesNotFit, match="probabilities of 300 rows and 2 classes needs"):
        of_arrays.predict(tmp_path, memory=1000)


def test_missing_files_are_named_before_any_work(of_arrays, data):
    photo = data / "photos" / "left" / "01.png"
    with pytest.raises(bs.NotFound, match=r"^nowhere.jpg does not exist$"):
        of_arrays.predict("nowhere.jpg")
    with pytest.raises(bs.NotFound, match=r"3 of 4 paths do not exist: a.jpg, \*.nothing, b.jpg"):
        of_arrays.predict(["a.jpg", photo, "*.nothing", "b.jpg"])
    for nothing in ([], np.zeros((0, SIDE, SIDE, 3))):
        with pytest.raises(bs.BadSetting, match="has no rows"):
            of_arrays.predict(nothing)
    with pytest.raises(bs.BadSetting, match="only images of Pillow, only paths or only arrays"):
        of_arrays.predict([picture(1), str(photo)])
    with pytest.raises(bs.BadSetting, match="on_error must be"):
        of_arrays.predict(photo, on_error="ignore")
    with pytest.raises(bs.NotFound, match="is not the folder of a finished run"):
        bs.load(data)
    with pytest.raises(bs.NotFound, match=r"^nowhere does not exist$"):
        bs.load("nowhere")


def test_a_run_without_a_model_says_that_it_can_go_on(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "000001-epoch0-batch3.npz").touch()
    with pytest.raises(
        bs.NotFound, match="was interrupted before its first epoch ended: repeat its command, or: bitesize train"
    ):
        bs.load(tmp_path)


def test_columns_are_taken_by_their_names(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    x = np.random.default_rng(0).normal(size=(200, 3))
    table = pandas.DataFrame(x, columns=["a", "b", "c"]).assign(kind=np.where(x[:, 1] > 0, "up", "down"))
    table.to_parquet(tmp_path / "t.parquet")
    model = bs.load(
        trained(tmp_path / "t.parquet", tmp_path / "run", "--model", "sklearn:SGDClassifier", "--labels", "kind")
    )
    found = model.predict(tmp_path / "t.parquet")
    assert np.mean([label == kind for label, kind in zip(found.labels, table.kind, strict=True)]) > 0.9
    assert found.paths[150] == f"{tmp_path / 't.parquet'}, row 150"
    np.testing.assert_allclose(found.probabilities, model.predict(table[["c", "a", "b"]]).probabilities, atol=1e-5)
    np.testing.assert_allclose(found.probabilities, model.predict(x).probabilities, atol=1e-5)
    np.testing.assert_allclose(found.probabilities[:1], model.predict(x[0]).probabilities, atol=1e-5)
    np.testing.assert_allclose(found.probabilities[:2], model.predict(x[:2].tolist()).probabilities, atol=1e-5)
    with pytest.raises(bs.BadSetting, match="the data has no column 'c'"):
        model.predict(table[["a", "b"]])
    with pytest.raises(bs.BadSetting, match="was not trained on images"):
        model.predict(Image.new("RGB", (30, 30)))


@pytest.mark.parametrize("name", ["of_arrays", "of_photos"])
def test_dark_rows_are_dark_and_not_in_other_units(name, request):
    model = request.getfixturevalue(name)
    black = np.zeros((SIDE, SIDE, 3))
    expected = probabilities(model, black.astype(np.uint8))
    np.testing.assert_allclose(probabilities(model, black), expected, atol=1e-5)
    np.testing.assert_allclose(probabilities(model, [black, np.full_like(black, 255.0)])[:1], expected, atol=1e-5)


@pytest.mark.parametrize("name", ["of_arrays", "of_photos"])
def test_rows_in_other_units_among_the_rest_are_pointed_out(name, request, tmp_path, caplog):
    model = request.getfixturevalue(name)
    for i in range(12):
        np.save(tmp_path / f"{i:02}.npy", as_array(picture(i)) / (255 if i == 7 else 1))
    found = model.predict(tmp_path)
    (line,) = found.said
    assert line.startswith("warning: 1 row is on a scale of 0 to 1, but the run was trained on 0 to 255, for example ")
    assert "07.npy: results for them may be wrong" in line
    assert "07.npy" in caplog.text


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("form", [bytes, bytearray, lambda raw: [raw], lambda raw: [raw, raw]])
def test_the_contents_of_a_file_are_refused_and_not_printed(kind, form, of_arrays):
    file = io.BytesIO()
    picture(1).save(file, kind)
    with pytest.raises(bs.BadSetting, match=rf"of bytes \(a {kind} image\) where a path is needed") as caught:
        of_arrays.predict(form(file.getvalue()))
    assert "or PIL.Image.open(io.BytesIO(data))" in str(caught.value)
    assert len(of_arrays.predict(Image.open(io.BytesIO(file.getvalue())), memory="32 MiB")) == 1
    with pytest.raises(bs.BadSetting, match=rf"\(a {kind} image\) where a path is needed") as opened:
        bs.open(form(file.getvalue()))
    assert max(len(str(each.value)) for each in (caught, opened)) < 250


def test_bytes_that_are_a_path_stay_one(of_arrays, data):
    path = data / "arrays" / "left" / "07.npy"
    assert len(of_arrays.predict(os.fsencode(path), memory="32 MiB")) == 1
    with pytest.raises(bs.NotFound, match=r"nowhere\.jpg does not exist"):
        of_arrays.predict(b"nowhere.jpg")


@pytest.mark.parametrize("run", [None, 3, b"runs/first", ["runs/first"]])
def test_what_is_no_path_of_a_run_is_said(run):
    with pytest.raises(bs.BadSetting, match='the run must be the path of its folder, such as "runs/first", not '):
        bs.load(run)


def test_no_message_repeats_a_long_text(of_arrays):
    for takes in (bs.load, bs.open, of_arrays.predict):
        with pytest.raises(bs.NotFound, match="does not exist") as caught:
            takes("x" * 5000)
        assert len(str(caught.value)) < 150


@pytest.mark.parametrize("form", ["array", "one array", "list", "file"])
def test_rows_whose_channels_come_first_are_refused_with_the_shape_that_was_given(of_photos, form, tmp_path):
    row = np.zeros((3, SIDE, SIDE), np.uint8)
    np.save(tmp_path / "row.npy", row)
    what = {"array": np.stack([row, row]), "one array": row, "list": [row], "file": tmp_path / "row.npy"}[form]
    with pytest.raises(
        bs.BadSetting,
        match=r"has \(3, 24, 24\): if channels come first, move them to the end with row\.transpose\(1, 2, 0\)",
    ):
        of_photos.predict(what, on_error="raise")


def test_bytes_of_0_and_1_are_warned_of_where_the_run_had_0_to_255(of_photos, caplog):
    masks = np.random.default_rng(0).integers(0, 2, (4, SIDE, SIDE, 3)).astype(np.uint8)
    (line,) = of_photos.predict(masks).said
    assert "values of uint8 from 0 to 255, but the data has uint8 from 0 to 1: scale" in line
    assert "scale the data to 0 to 255 first" in caplog.text
    assert of_photos.predict(masks * 255).said == ()
