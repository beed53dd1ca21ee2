"""Sources side by side and one behind the other; tables, parts, frames, objects, and sources of other packages."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
from PIL import Image

import bitesize as bs
from bitesize.sources.registry import by_suffix, kinds
from bitesize.testing import check_source, read_rows

random = np.random.default_rng(0)
X = random.integers(0, 256, (60, 6, 5, 3), np.uint8)
Y = np.arange(60) % 3


def write_images(folder, count, classes="ab"):
    for i in range(count):
        path = folder / classes[i % len(classes)] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(X[i]).save(path)


def test_a_chain_has_the_rows_of_all_in_order(tmp_path):
    np.save(tmp_path / "a.npy", X[:25])
    both = bs.chain([bs.open(tmp_path / "a.npy", Y[:25]), bs.open(X[25:], Y[25:])])
    check_source(both)
    assert read_rows(both, range(60))["x"] == [row.tobytes() for row in X]
    assert both.labels.tolist() == Y.tolist()
    with pytest.raises(bs.BadSetting, match="same fields"):
        bs.chain([bs.open(X, Y), bs.open(X)])
    with pytest.raises(bs.BadSetting, match="two or more"):
        bs.chain([bs.open(X)])


def test_zip_puts_rows_side_by_side():
    left, right = bs.open(X, Y), bs.open(X[:, :2, :2, 0])
    pairs = bs.zip(left, side=right)
    assert sorted(pairs.spec) == ["side", "x", "y"]
    check_source(pairs)
    found = read_rows(pairs, [7])
    assert (found["x"][0], found["side"][0]) == (X[7].tobytes(), np.ascontiguousarray(X[7, :2, :2, 0]).tobytes())
    assert sorted(bs.zip(a=left, b=left).spec) == ["a_x", "a_y", "b_x", "b_y"]
    for wrong, says in (
        ((left, left), "two sources have a field 'x'"),
        ((left, bs.open(X[:3])), "the same number of rows"),
        ((left,), "two or more"),
    ):
        with pytest.raises(bs.BadSetting, match=says):
            bs.zip(*wrong)


def test_labels_are_mapped():
    pets = bs.open(X[:4], ["husky", "poodle", "siamese", "poodle"])
    mapped = pets.map_labels({"husky": "dog", "poodle": "dog", "siamese": "cat"})
    assert (mapped.classes, mapped.labels.tolist()) == (("cat", "dog"), [1, 1, 0, 1])
    assert bs.open(X, Y).map_labels(lambda number: f"class {number}").classes == ("class 0", "class 1", "class 2")
    with pytest.raises(bs.BadSetting, match="no new name for the class 'poodle'"):
        pets.map_labels({"husky": "dog"})
    with pytest.raises(bs.BadSetting, match="no class labels"):
        bs.open(X).map_labels(str)


def test_a_table_gives_labels_targets_and_weights(tmp_path):
    write_images(tmp_path / "images", 12)
    lines = ["file_name,label,age,weight,note,split"]
    for i in range(12):
        lines.append(  # noqa: PERF401 - a long line
            f"images/{'ab'[i % 2]}/{i}.png,{'cat' if i % 3 else 'dog'},{i + 0.5},{i},text {i},{'train' if i < 9 else 'valid'}"
        )
    (tmp_path / "table.csv").write_text("\n".join(lines))
    with pytest.raises(bs.BadSetting, match=r"has splits \(train, valid\)"):
        bs.open(tmp_path / "table.csv")
    source = bs.open(tmp_path / "table.csv", split="train")
    assert (len(source), source.classes, sorted(source.spec)) == (9, ("cat", "dog"), ["age", "weight", "x", "y"])
    check_source(source)
    assert len(bs.open(tmp_path / "table.csv", split="val")) == 3
    regression = bs.open(tmp_path / "table.csv", "age", split="val")
    assert (regression.labels, regression.spec["y"].dtype) == (None, np.dtype("f8"))
    chosen = bs.open(tmp_path / "table.csv", fields={"x": "file_name", "y": "weight"}, split="val")
    assert sorted(chosen.spec) == ["x", "y"]
    several = bs.open(tmp_path / "table.csv", fields={"x": "file_name", "y": "label", "kind": "note"}, split="val")
    assert several.classes == ("cat", "dog")
    assert [several.classes_of["kind"][number] for number in (9 + 2, 2, 3)] == ["text 9", "text 10", "text 11"]
    assert several.subset([2]).classes_of == several.classes_of
    check_source(bs.open(tmp_path / "table.csv", fields={"x": "file_name", "y": "label", "kind": "note"}, split="train"))
    (tmp_path / "images" / "a" / "0.png").unlink()
    with pytest.raises(bs.NotFound, match=r"1 files of .* do not exist .*images/a/0\.png"):
        bs.open(tmp_path / "table.csv", split="train")


def test_a_damaged_table_is_told(tmp_path):
    table = tmp_path / "t.csv"
    for text, says in (
        ("path,path\na,b\n", "names a column twice"),
        ("path,label\na\n", "line 2 .* has 1 values for 2 columns"),
        ("path,label\n", "lists no files"),
    ):
        table.write_text(text)
        with pytest.raises(bs.BadFile, match=says):
            bs.open(table)
    table.write_bytes(b"path,label\n\xff\xfe,\x00\n")
    with pytest.raises(bs.BadFile, match="not a table in UTF-8"):
        bs.open(table)


def test_a_folder_with_metadata_is_described_by_it(tmp_path):
    write_images(tmp_path / "train", 6, "a")
    (tmp_path / "train" / "metadata.csv").write_text(
        "file_name,label\n" + "\n".join(f"a/{i}.png,{'uv'[i % 2]}" for i in range(6))
    )
    assert bs.open(tmp_path, split="train").classes == ("u", "v")


def test_parts_of_a_folder_are_found_under_their_usual_names(tmp_path):
    write_images(tmp_path / "train", 10)
    write_images(tmp_path / "valid", 4)
    with pytest.raises(bs.BadSetting, match=r'has splits \(train, val\): choose one with split="train"'):
        bs.open(tmp_path)
    assert (len(bs.open(tmp_path, split="train")), len(bs.open(tmp_path, split="val"))) == (10, 4)
    with pytest.raises(bs.NotFound, match="no split 'test': it has the folders train, valid"):
        bs.open(tmp_path, split="test")
    other = tmp_path / "vehicles"
    write_images(other, 6, ("car", "train"))  # a class of that name is no part
    assert bs.open(other).classes == ("car", "train")


def test_frames_are_read_as_they_are():
    pd, pl = pytest.importorskip("pandas"), pytest.importorskip("polars")
    columns = {"v": np.linspace(0, 1, 30), "n": np.arange(30, dtype=np.int16), "label": ["ab"[i % 2] for i in range(30)]}
    columns["v"][4] = np.nan
    for frame in (pd.DataFrame(columns), pl.DataFrame(columns), pl.DataFrame(columns).to_arrow()):
        source = bs.open(frame, fields=["v", "n", "label"])
        assert (len(source), source.classes) == (30, ("a", "b"))
        assert source.spec["n"] == bs.Field((), np.dtype("i2"))
        found = read_rows(source, [3, 4])
        assert np.frombuffer(found["v"][0], "f8")[0] == columns["v"][3]
        assert np.isnan(np.frombuffer(found["v"][1], "f8")[0])
        check_source(source)


def test_datasets_of_other_libraries_are_read():
    datasets = pytest.importorskip("datasets")
    names = datasets.Features({"x": datasets.Value("float32"), "label": datasets.ClassLabel(names=["cat", "dog"])})
    made = datasets.Dataset.from_dict(
        {"x": list(map(float, range(40))), "label": [i % 2 for i in range(40)]}, features=names
    )
    source = bs.open(made.shuffle(seed=0).select(range(20)))
    assert (len(source), source.classes) == (20, ("cat", "dog"))
    check_source(source)
    with pytest.raises(bs.BadSetting, match=r"has splits \(train\)"):
        bs.open(datasets.DatasetDict({"train": made}))
    assert len(bs.open(datasets.DatasetDict({"train": made}), split="train")) == 40


def test_pytorch_datasets_are_read():
    torch = pytest.importorskip("torch")

    class Squares(torch.utils.data.Dataset):
        def __len__(self):
            return 30

        def __getitem__(self, i):
            if i == 13:
                raise ValueError("unlucky")
            return {"x": torch.full((2,), float(i)), "y": i % 3}

    source = bs.open(Squares())
    loader = bs.Loader(source, batch_size=8, memory="16 MiB", shuffle=False)
    with loader, pytest.raises(bs.BadFile, match=r"Squares\[13\]: ValueError: unlucky"):
        for batch in loader:
            assert batch["x"][0, 0] == batch.rows[0]


def test_nothing_that_cannot_be_told_is_opened(tmp_path):
    (tmp_path / "a.xyz").write_bytes(b"what is this")
    with pytest.raises(bs.BadSetting, match=r"a\.xyz cannot be opened: neither its suffix nor its first bytes"):
        bs.open(tmp_path / "a.xyz")
    write_images(tmp_path / "mixed", 2)
    np.savez(tmp_path / "mixed" / "a" / "1.npz", x=X[0])
    with pytest.raises(bs.BadSetting, match=r"found several file formats \(1 \.npz, 2 \.png\)"):
        bs.open(tmp_path / "mixed")
    assert by_suffix("A.JPG").__name__ == "ImageFiles"


def test_every_kind_has_a_title():
    for kind in kinds():
        assert kind.title


def test_a_source_of_another_package_is_found(tmp_path):
    package = tmp_path / "site"
    (package / "numbers-1.0.dist-info").mkdir(parents=True)
    (package / "numbers-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: numbers\nVersion: 1.0\n")
    (package / "numbers-1.0.dist-info" / "entry_points.txt").write_text(
        "[bitesize.sources]\nlines = lines_of_numbers:Lines\nbroken = nowhere:Nothing\n"
    )
    (package / "lines_of_numbers.py").write_text(
        textwrap.dedent("""
        import numpy as np
        import bitesize as bs

        class Lines(bs.Source):
            title = "lines of numbers"
            suffixes = (".lines",)

            def __init__(self, path):
                self._x = np.loadtxt(path)
                self.spec = {"x": bs.Field(self._x.shape[1:], self._x.dtype)}

            def __len__(self):
                return len(self._x)

            def read(self, rows, into):
                into["x"][...] = self._x[rows]

            def _identity(self):
                return self._x.tobytes()

            @classmethod
            def opened(cls, paths, asked):
                return cls(paths[0])
    """)
    )
    np.savetxt(tmp_path / "a.lines", np.arange(40.0).reshape(20, 2))
    program = textwrap.dedent(f"""
        import sys, warnings
        sys.path.insert(0, {str(package)!r})
        warnings.simplefilter("ignore")
        import bitesize as bs
        from bitesize.testing import check_source
        source = bs.open({str(tmp_path / "a.lines")!r})
        check_source(source)
        sys.stdout.write(type(source).__name__)
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout) == (0, "Lines"), done.stderr[-2000:]


@pytest.mark.parametrize("kind", ["parquet", "feather", "pandas", "polars", "arrow"])
def test_tables_of_arrow_have_several_labels_and_a_column_of_parts(tmp_path, kind):
    pa = pytest.importorskip("pyarrow")
    rows = range(24)
    table = pa.table(
        {
            "value": [float(i) for i in rows],
            "color": [("red", "green")[i % 2] for i in rows],
            "form": [("cube", "ball", "cone")[i % 3] for i in rows],
            "split": [("train", "train", "valid")[i % 3] for i in rows],
        }
    )
    what = table
    if kind == "parquet":
        pytest.importorskip("pyarrow.parquet").write_table(table, tmp_path / "t.parquet", row_group_size=5)
        what = tmp_path / "t.parquet"
    elif kind == "feather":
        pytest.importorskip("pyarrow.feather").write_feather(table, str(tmp_path / "t.feather"), chunksize=5)
        what = tmp_path / "t.feather"
    elif kind != "arrow":
        pytest.importorskip(kind)
        what = table.to_pandas() if kind == "pandas" else pytest.importorskip("polars").from_arrow(table)
    with pytest.raises(bs.BadSetting, match=r"has splits \(train, valid\)"):
        bs.open(what)
    with pytest.raises(bs.NotFound, match="no rows of the split 'test': it has train, valid"):
        bs.open(what, split="test")
    val = bs.open(what, split="val", fields=["value", "color", "form"], labels="form")
    assert (len(val), val.classes, val.classes_of) == (8, ("ball", "cone", "cube"), {"color": ("green", "red")})
    train = bs.open(what, split="train", fields=["value", "color"])
    check_source(train)
    with bs.Loader(train, batch_size=16, memory="64 MiB", shuffle=False) as loader:
        batch = next(iter(loader))
        assert batch["value"].tolist() == [float(i) for i in rows if i % 3 < 2]
        assert batch["color"].tolist() == [i % 2 == 0 for i in rows if i % 3 < 2]
        del batch


def test_a_column_that_only_happens_to_be_called_set_is_one_like_others(tmp_path):
    pa = pytest.importorskip("pyarrow")
    assert len(bs.open(pa.table({"value": [1.0, 2.0], "set": [[1], [2, 3]]}))) == 2
    assert len(bs.open(pa.table({"value": [1.0, 2.0], "set": ["blue", None]}))) == 2
    assert len(bs.open(pa.table({"value": [1.0, 2.0], "fold": [0, 1]}), split="1")) == 1
    with pytest.raises(bs.BadSetting, match="no split column"):
        bs.open(pa.table({"value": [1.0, 2.0]}), split="train")


def test_text_of_archives_is_a_label_where_it_is_asked_for(tmp_path):
    form, color = np.array(["cube", "ball"] * 6), np.array(["red", "green", "blue"] * 4)
    np.savez(tmp_path / "a.npz", x=np.arange(12.0), form=form, color=color)
    assert list(bs.open(tmp_path / "a.npz").spec) == ["x"]
    source = bs.open(tmp_path / "a.npz", "form", fields=["x", "form", "color"])
    assert (source.classes, source.classes_of) == (("ball", "cube"), {"color": ("blue", "green", "red")})
    check_source(source)


def test_numbers_too_large_for_classes_are_told_before_they_take_memory(tmp_path):
    source = bs.open(np.zeros((4, 2)), [0, 1, 10**9, 1])
    with pytest.raises(bs.BadSetting, match="go up to 1,000,000,000, but there are only 4 rows"):
        _ = source.class_count
    with bs.Loader(source, batch_size=2, memory="16 MiB", shuffle=False) as loader:  # they may be targets
        assert [batch["y"].tolist() for batch in loader] == [[0, 1], [10**9, 1]]
    assert bs.open(np.zeros((4, 2)), [0, 1, 5000, 1]).class_count == 5001
