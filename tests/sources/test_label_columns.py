"""Which columns of a table are labels and weights, and what text means as labels."""

import io
import tarfile

import numpy as np
import pytest
from PIL import Image

import bitesize as bs
from bitesize.testing import check_source

pa = pytest.importorskip("pyarrow")
pd = pytest.importorskip("pandas")


@pytest.fixture
def write(tmp_path):
    """Write images, and a table of them."""

    def written(columns, rows):
        for i in range(len(rows)):
            Image.new("RGB", (4, 4), (i, 0, 0)).save(tmp_path / f"{i}.png")
        lines = [f"{i}.png,{row}" for i, row in enumerate(rows)]
        (tmp_path / "t.csv").write_text("\n".join([f"path,{columns}", *lines]), encoding="utf-8")
        return tmp_path / "t.csv"

    return written


def said(source):
    return " | ".join(map(str, source.choices))


def numbers(text, rows=12):
    """Return a data frame of one feature and labels of text."""
    return pd.DataFrame({"a": np.arange(rows) / 2, "label": [text[i % len(text)] for i in range(rows)]})


# --- which column -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["label", "Label", " LABEL ", "class", "Target", "species", "category", "y"])
def test_labels_are_found_under_usual_names_in_any_case(write, name):
    source = bs.open(write(f"{name},note", [f"{'ab'[i % 2]},note {i}" for i in range(6)]))
    assert (source.classes, source.labels.tolist()) == (("a", "b"), [0, 1] * 3)
    frame = pd.DataFrame({"v": np.arange(6.0), name: ["a", "b"] * 3})
    assert bs.open(frame).classes == ("a", "b")


def test_the_only_column_of_text_is_labels_if_it_repeats_and_this_is_said(write):
    table = write("variety,width", [f"{('setosa', 'virginica')[i % 2]},{i}" for i in range(8)])
    assert bs.open(table).classes == ("setosa", "virginica")
    assert "labels: the column 'variety', the only text" in said(bs.open(table))
    frame = bs.open(pd.DataFrame({"width": np.arange(8.0), "variety": ["setosa", "virginica"] * 4}))
    assert (frame.classes, frame.label_name) == (("setosa", "virginica"), "variety")
    assert "labels: the column 'variety', the only text" in said(frame)


@pytest.mark.parametrize("name", ["text", "caption", "comment"])
def test_captions_are_no_labels(write, name):
    table = write(name, ["a red cat", "two dogs at sea", "a bird"])
    source = bs.open(table)
    assert (source.classes, source.label_name) == (None, None)
    assert f"3 different values in 3 rows; labels={name!r} selects it" in " ".join(source.left_out)
    asked = bs.open(table, labels=name)
    assert len(asked.classes) == 3
    assert "3 classes in 3 rows" in said(asked)
    frame = bs.open(pd.DataFrame({"v": [1.0, 2.0, 3.0], name: ["a red cat", "two dogs at sea", "a bird"]}))
    assert frame.classes is None
    assert f"labels={name!r} selects it" in " ".join(frame.left_out)


def test_a_metadata_file_of_captions_gives_no_classes(tmp_path):
    for i in range(3):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{i}.png")
    (tmp_path / "metadata.csv").write_text("file_name,text\n0.png,a red cat\n1.png,two dogs at sea\n2.png,a bird\n")
    assert bs.open(tmp_path).classes is None


def test_of_several_columns_of_text_none_is_guessed(write):
    source = bs.open(write("kind,place", [f"{'ab'[i % 2]},{'uv'[i // 4]}" for i in range(8)]))
    assert source.classes is None
    assert list(source.left_out) == ["kind: text that is not a label", "place: text that is not a label"]
    assert bs.open(write("kind,place", ["a,u", "b,v", "a,u"]), labels="Kind").classes == ("a", "b")


def test_labels_that_are_no_column_name_the_columns(write):
    with pytest.raises(bs.BadSetting, match=r"labels='kidn': .* has the columns path, kind"):
        bs.open(write("kind", ["a", "b"]), labels="kidn")


# --- what text means --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codes", [("01", "02"), ("1", "2"), ("100", "205"), ("20240101", "20240202"), ("-1", "1")])
def test_codes_are_classes_called_as_in_the_table(tmp_path, write, codes):
    rows = [codes[i % 2] for i in range(8)]
    classes = tuple(sorted(codes, key=int))
    labels = [classes.index(code) for code in rows]
    images = bs.open(write("label", rows))
    assert (images.classes, images.labels.tolist()) == (classes, labels)
    assert "2 different whole numbers, used as classes" in said(images)
    assert images.column("label").tolist() == rows
    folder = bs.open(tmp_path, labels=write("label", rows))
    assert (folder.classes, folder.labels.tolist()) == (classes, labels)
    (tmp_path / "n.csv").write_text("a,label\n" + "".join(f"{i}.5,{code}\n" for i, code in enumerate(rows)))
    table = bs.open(tmp_path / "n.csv")
    assert (table.classes, table.labels.tolist()) == (classes, labels)


def test_many_different_whole_numbers_are_targets(tmp_path, write):
    rows = [str(3 * i) for i in range(30)]
    for source in (
        bs.open(write("count", rows)),
        bs.open(write("label", rows)),
        bs.open(tmp_path, labels=write("label", rows)),
    ):
        assert (source.classes, source.labels, source.spec["y"]) == (None, None, bs.Field((), np.dtype("f8")))
        assert "30 different whole numbers in 30 rows, used as numbers" in said(source)


def test_decimals_are_targets_and_this_is_said(write):
    source = bs.open(write("label", ["0.5", "1", "2.25"]))
    assert (source.classes, source.spec["y"]) == (None, bs.Field((), np.dtype("f8")))
    assert "numbers with decimals, used as targets" in said(source)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "feather", "frame", "images"])
@pytest.mark.parametrize("labels", [["cat", None, "dog", "cat"], [1.5, None, 2.5, 3.5], ["a;b", None, "b", "a"]])
def test_labels_that_are_not_needed_may_have_gaps(tmp_path, write, kind, labels):
    labels = labels * 3
    frame = pd.DataFrame({"a": np.arange(12) / 2, "label": labels})
    path = tmp_path / f"n.{kind}"
    if kind == "images":
        path = write("label", ["" if label is None else label for label in labels])
    elif kind == "csv":
        frame.to_csv(path, index=False)
    elif kind == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    elif kind != "frame":
        getattr(frame, f"to_{kind}")(path)
    source = bs.open(frame if kind == "frame" else path, labels=False)
    assert list(source.spec) == ["x"]
    assert "no labels: the column 'label' is left out" in said(source)
    assert "labels: the column" not in said(source).replace("no labels: the column", "")
    check_source(source)
    if kind != "images":
        assert source.feature_names == ("a",)


def test_columns_of_arrays_are_left_out_as_labels_once(tmp_path):
    np.savez(tmp_path / "n.npz", x=np.zeros((3, 2)), y=np.array(["a", "", "b"]), target=np.arange(3))
    source = bs.open(tmp_path / "n.npz", labels=False)
    assert list(source.spec) == ["x", "target"]
    assert said(source).count("no labels") == 1


@pytest.mark.parametrize("nothing", ["", "nan", "NA", " "])
def test_rows_without_a_label_are_refused(tmp_path, nothing):
    (tmp_path / "n.csv").write_text(f"a,label\n0.5,1\n1.5,{nothing}\n2.5,2\n")
    with pytest.raises(bs.BadFile, match=r"1 row of .*n\.csv has no 'label': row 1\. Fill in the label"):
        bs.open(tmp_path / "n.csv")


def test_labels_that_are_paths_are_refused_by_name(write):
    with pytest.raises(bs.BadSetting, match=r"'mask' of .* are paths, such as 'm/0.png': masks are opened as a folder"):
        bs.open(write("mask", [f"m/{i}.png" for i in range(3)]), labels="mask")
    assert "mask: paths of files" in " ".join(bs.open(write("mask", [f"m/{i}.png" for i in range(3)])).left_out)
    with pytest.raises(bs.BadSetting, match="masks are opened as a folder"):
        bs.open(np.zeros((2, 3)), labels=["m/0.png", "m/1.png"])


# --- tags -------------------------------------------------------------------------------------------------------------


TAGS = ["sun beach", "sun", "beach"]


@pytest.mark.parametrize("delimiter", [" ", "|", ";", ","])
def test_tags_in_a_cell_are_a_number_for_each_and_never_silently_classes(tmp_path, write, delimiter):
    cells = [tag.replace(" ", delimiter) for tag in TAGS]
    right = [[1, 1], [0, 1], [1, 0]]
    quoted = write("label", [f'"{cell}"' for cell in cells])
    for what, settings in (
        (quoted, {}),
        (tmp_path, {"labels": quoted}),
        (np.zeros((3, 2)), {"labels": cells}),
        (numbers(cells, 3), {}),
        ([tmp_path / f"{i}.png" for i in range(3)], {"labels": np.array(cells)}),
    ):
        with pytest.raises(bs.BadSetting, match=f"looks like several tags .*tag_delimiter='[{delimiter}]'"):
            bs.open(what, **settings)
        source = bs.open(what, tag_delimiter=delimiter, **settings)
        label = source.label_name
        assert (source.classes, source.labels) == (("beach", "sun"), None)
        assert source.spec[label] == bs.Field((2,), np.dtype("f4"))
        steps = [bs.Resize(4)] if isinstance(source.spec["x"], bs.Encoded) else []
        with bs.Loader(source, batch_size=3, memory="32 MiB", shuffle=False, transforms=steps) as loader:
            assert next(iter(loader))[label].tolist() == right
        assert len(bs.open(what, tag_delimiter="", **settings).classes) == 3


def test_a_delimiter_for_labels_that_are_no_text_is_refused():
    for what, labels in ((np.zeros((2, 3)), [0, 1]), (numbers("ab").assign(label=1), None)):
        with pytest.raises(bs.BadSetting, match=r"tag_delimiter='\|': .*not text"):
            bs.open(what, labels=labels, tag_delimiter="|")


def test_rows_may_have_no_tag(write):
    source = bs.open(write("label", ["a|b", "", "b"]), tag_delimiter="|")
    assert source.classes == ("a", "b")
    check_source(bs.open(write("label", ["a|b", "", "b"] * 4), tag_delimiter="|"))


@pytest.mark.parametrize(
    "names", [["great dane", "poodle", "pug"], ["tench, Tinca tinca", "goldfish, Carassius auratus"], ["new york", "york"]]
)
def test_names_of_several_words_are_classes(write, names):
    assert bs.open(np.zeros((len(names), 2)), labels=names).classes == tuple(sorted(names))
    assert bs.open(numbers(names)).classes == tuple(sorted(names))


def test_lists_of_text_are_tags():
    table = pa.table({"a": [1.0, 2.0, 3.0], "label": [["x", "y"], [], ["y"]]})
    source = bs.open(table)
    assert (source.classes, source.spec["label"]) == (("x", "y"), bs.Field((2,), np.dtype("f4")))
    with bs.Loader(source, batch_size=3, memory="32 MiB", shuffle=False) as loader:
        assert next(iter(loader))["label"].tolist() == [[1, 1], [0, 0], [0, 1]]


# --- several columns --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["images", "frame", "csv"])
def test_several_columns_of_zeros_and_ones_are_several_labels(tmp_path, write, kind):
    rows = [f"{i % 2},{int(i < 3)},1,{i}.5" for i in range(6)]
    what = write("round,bright,many,size", rows)
    if kind != "images":
        frame = pd.read_csv(what).drop(columns="path")
        frame.to_csv(tmp_path / "n.csv", index=False)
        what = frame if kind == "frame" else tmp_path / "n.csv"
    source = bs.open(what, labels=["round", "bright", "many"])
    assert (source.classes, source.label_name) == (("round", "bright", "many"), "y")
    assert source.spec["y"] == bs.Field((3,), np.dtype("f4"))
    steps = [bs.Resize(4)] if kind == "images" else []
    with bs.Loader(source, batch_size=6, memory="32 MiB", shuffle=False, transforms=steps) as loader:
        batch = next(iter(loader))
        assert batch["y"].tolist() == [[i % 2, i < 3, 1] for i in range(6)]
        if kind != "images":
            assert batch["x"].tolist() == [[i + 0.5] for i in range(6)]
        del batch
    with pytest.raises(bs.BadSetting, match=r"neither one per row \(6 rows\) nor columns: there is no column 'brigth'"):
        bs.open(what, labels=["round", "brigth"])
    regression = bs.open(what, labels=["size", "round"])
    assert (regression.classes, regression.spec["y"]) == (None, bs.Field((2,), np.dtype("f8")))


def test_a_list_of_one_label_a_row_goes_beside_a_table():
    source = bs.open(numbers("ab", 4).drop(columns="label"), labels=["u", "v", "u", "v"])
    assert (source.classes, source.labels.tolist()) == (("u", "v"), [0, 1, 0, 1])


# --- weights ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["weight", "Weights", "sample_weight"])
def test_weights_are_known_by_name_and_are_no_feature(tmp_path, write, name):
    frame = numbers("ab").assign(**{name: np.arange(12)})
    frame.to_csv(tmp_path / "n.csv", index=False)
    for source in (bs.open(frame), bs.open(tmp_path / "n.csv"), bs.open(write(f"label,{name}", ["a,1", "b,0", "a,2"]))):
        assert source.weight_name == name
        assert source.spec[name].dtype.kind == "f"
        assert f"sample weights: the column {name!r}" in said(source)
    assert bs.open(frame).feature_names == ("a",)
    assert bs.open(frame, weights="").feature_names == ("a", name)
    assert bs.open(frame, weights="").weight_name is None


def test_weights_are_named_by_a_setting(write):
    table = write("label,trust", ["a,1", "b,0.5", "a,2"])
    assert bs.open(table).weight_name is None
    assert bs.open(table, weights="trust").weight_name == "trust"
    assert bs.open(numbers("ab").assign(trust=1), weights="Trust").weight_name == "trust"
    for what in (table, numbers("ab")):
        with pytest.raises(bs.BadSetting, match=r"weights='nothing': .* has no such column; it has the columns .*label"):
            bs.open(what, weights="nothing")


def test_weights_that_are_text_are_refused(write):
    with pytest.raises(bs.BadSetting, match="must be one number per row, but are text"):
        bs.open(write("label,trust", ["a,low", "b,high", "a,low"]), weights="trust")
    with pytest.raises(bs.BadSetting, match="must be one number per row, but are text"):
        bs.open(numbers("ab").assign(trust="low"), weights="trust")


@pytest.mark.parametrize("bad", ["-1", "nan", "inf"])
def test_weights_that_are_none_are_refused(write, bad):
    with pytest.raises(bs.BadSetting, match=r"weights must be 0 or more: 'weight' of .* is .* in row 1"):
        bs.open(write("label,weight", ["a,1", f"b,{bad}", "a,2"]))
    with pytest.raises(bs.BadSetting, match="weights must be 0 or more"):
        bs.open(numbers("ab", 3).assign(weight=[1.0, float(bad), 2.0]))


# --- paths in data frames ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("absolute", [True, False])
def test_a_data_frame_of_paths_and_labels_is_images(tmp_path, write, monkeypatch, absolute):
    write("label", ["a", "b", "a", "b"])
    monkeypatch.chdir(tmp_path)
    paths = [f"{tmp_path if absolute else '.'}/{i}.png" for i in range(4)]
    source = bs.open(pd.DataFrame({"path": paths, "label": ["a", "b"] * 2, "patient": ["p", "q"] * 2}))
    monkeypatch.chdir(tmp_path.parent)
    assert (source.classes, source.primary) == (("a", "b"), "path")
    with bs.Loader(source, batch_size=4, memory="32 MiB", shuffle=False, transforms=[bs.Resize(4)]) as loader:
        assert next(iter(loader))["path"][:, 0, 0, 0].tolist() == [0, 1, 2, 3]
    assert "path: images in" in said(source)


@pytest.mark.parametrize("form", ["csv", "parquet", "images"])
def test_several_targets_keep_the_names_of_their_columns(tmp_path, form):
    table = "path,f,u,v,w\n" + "".join(f"{i}.png,{i},{i / 2},{i},{'ab'[i % 2]}\n" for i in range(8))
    if form == "images":
        from PIL import Image

        for i in range(8):
            Image.new("RGB", (4, 4)).save(tmp_path / f"{i}.png")
    else:
        table = "\n".join(line.partition(",")[2] for line in table.splitlines())
    file = tmp_path / "table.csv"
    file.write_text(table, encoding="utf-8")
    if form == "parquet":
        csv, parquet = pytest.importorskip("pyarrow.csv"), pytest.importorskip("pyarrow.parquet")
        parquet.write_table(csv.read_csv(file), tmp_path / "table.parquet")
        file = tmp_path / "table.parquet"
    source = bs.open(file, ["v", "u"])
    assert source.target_names == ("v", "u")
    assert source[3]["y"].tolist() == [3, 1.5]
    first, second = source.split(0.5)
    assert first.target_names == bs.chain([first, second]).target_names == ("v", "u")
    with pytest.raises(bs.BadSetting, match="must have the same targets"):
        bs.chain([source, bs.open(file, ["u", "v"])])
    assert bs.open(file, "u").target_names == bs.open(file, ["u"]).target_names == ("u",)
    assert bs.chain([bs.open(file, "u"), bs.open(file, "u")]).target_names == ("u",)
    assert bs.open(file, "w").target_names is None  # classes
    with pytest.raises(bs.BadSetting, match=r"'w' .*text.*name one as the label, and select the others with fields="):
        bs.open(file, ["u", "w"])


@pytest.mark.parametrize("form", ["csv", "parquet"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_one_target_and_several_have_the_same_dtype_and_inputs_another(tmp_path, form, dtype):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    table = pandas.DataFrame({"x": [1, 2], "u": [0.5, 1.25], "v": [2.5, 0.25]}).astype({"u": dtype, "v": dtype})
    file = tmp_path / f"table.{form}"
    table.to_csv(file, index=False) if form == "csv" else table.to_parquet(file)
    stored = "float64" if form == "csv" else dtype
    for labels, shape in (("u", (2,)), (["u"], (2,)), (["u", "v"], (2, 2))):
        source = bs.open(file, labels)
        with bs.Loader(source, batch_size=2, memory="16 MiB", dtype=np.float32) as loader:
            batch = next(iter(loader))
            found = batch[source.label_name]
            assert (str(found.dtype), found.shape, str(batch["x"].dtype)) == (stored, shape, "float32")


def test_samples_of_tar_files_without_a_label_open_where_none_is_needed(tmp_path):
    with tarfile.open(tmp_path / "t.tar", "w") as archive:
        for i in range(12):
            buffer = io.BytesIO()
            Image.new("RGB", (4, 4), (i, 0, 0)).save(buffer, "PNG")
            for kind, content in (("png", buffer.getvalue()), ("cls", b"%d" % (i % 2))):
                if (kind, i) != ("cls", 3):
                    member = tarfile.TarInfo(f"{i:02}.{kind}")
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
    source = bs.open(tmp_path / "t.tar", labels=False)
    assert list(source.spec) == ["x"]
    assert "no labels: the column 'cls' is left out" in said(source)
    check_source(source)
    with pytest.raises(bs.BadFile, match=r"1 of 12 samples of .* have no member \.cls"):
        bs.open(tmp_path / "t.tar")
