"""Labels as text: separators of tags, lists written as text, signs, decimals and commas; files that a table names and that are lost."""

import re

import numpy as np
import pytest
from tests.layouts.drawing import image, labels_by_marker
from tests.storage.memory import memory_storage

import bitesize as bs

X = np.arange(6.0).reshape(3, 2)


@pytest.mark.parametrize("separator", ["|", ";", ",", ", ", "/", "+", "&"])
def test_text_that_looks_like_several_tags_is_refused_with_the_separator(tmp_path, separator):
    texts = [f"sun{separator}beach", "sun", "beach"]
    table = tmp_path / "t.csv"
    table.write_text("path,label\n" + "".join(f'{i}.png,"{text}"\n' for i, text in enumerate(texts)), encoding="utf-8")
    for i in range(3):
        image(tmp_path / f"{i}.png", i)
    for what, labels in ((table, None), (X, texts)):
        with pytest.raises(bs.BadSetting, match=r"several tags per row.*tag_delimiter="):
            bs.open(what, labels=labels)
    source = bs.open(table, tag_delimiter=separator.strip())
    assert labels_by_marker(source) == {0: [1, 1], 1: [0, 1], 2: [1, 0]}
    assert bs.open(table, tag_delimiter="").classes == tuple(sorted(texts))


def test_one_tag_alone_is_enough_for_a_separator():
    with pytest.raises(bs.BadSetting, match="several tags per row, such as 'a, b'"):
        bs.open(X, labels=["a, b", "a", "c"])


def test_names_with_a_separator_that_may_be_tags_are_said_of_a_table(tmp_path):
    for i in range(3):
        image(tmp_path / f"{i}.png", i)
    for texts, separator in ((["sun_beach", "sun", "beach"], "_"), (["a/x", "a/y", "b/x"], "/")):
        (tmp_path / "t.csv").write_text(
            "path,label\n" + "".join(f"{i}.png,{text}\n" for i, text in enumerate(texts)), encoding="utf-8"
        )
        source = bs.open(tmp_path / "t.csv")
        assert source.classes == tuple(sorted(texts))
        assert f'tag_delimiter="{separator}"' in [choice.setting for choice in source.choices]


def test_lists_written_as_text_are_refused_with_the_way(tmp_path):
    texts = ["['sun', 'beach']", "['sun']", "[]"]
    for i in range(3):
        image(tmp_path / f"{i}.png", i)
    table = tmp_path / "t.csv"
    table.write_text("path,label\n" + "".join(f'{i}.png,"{text}"\n' for i, text in enumerate(texts)), encoding="utf-8")
    for delimiter in (None, ","):
        for what, labels in ((table, None), (X, texts)):
            with pytest.raises(bs.BadSetting, match=r"lists written as text.*ast\.literal_eval"):
                bs.open(what, labels=labels, tag_delimiter=delimiter)
    assert len(bs.open(table, tag_delimiter="").classes) == 3


@pytest.mark.parametrize(
    ("texts", "classes"),
    [(["1", "-1", "1"], ("-1", "1")), (["+1", "-1", "+1"], ("-1", "+1")), (["10", "-2", "3"], ("-2", "3", "10"))],
)
def test_signed_numbers_are_classes_in_the_order_of_their_values(tmp_path, texts, classes):
    assert bs.open(X, labels=texts).classes == classes
    table = tmp_path / "t.csv"
    table.write_text("a,label\n" + "".join(f"{i}.5,{text}\n" for i, text in enumerate(texts)), encoding="utf-8")
    source = bs.open(table)
    assert (source.classes, source.labels.tolist()) == (classes, [classes.index(text) for text in texts])


def test_one_number_in_two_forms_is_refused(tmp_path):
    (tmp_path / "t.csv").write_text("a,label\n0.5,1\n1.5,+1\n2.5,-1\n", encoding="utf-8")
    with pytest.raises(bs.BadSetting, match=r"\+1 and 1, one number in two forms"):
        bs.open(tmp_path / "t.csv")


def test_whole_numbers_with_decimals_are_targets_and_said_to_be_whole(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    (tmp_path / "t.csv").write_text("a,label\n0.5,1.0\n1.5,0.0\n2.5,1.0\n", encoding="utf-8")
    pq.write_table(pa.table({"a": [0.5, 1.5, 2.5], "label": [1.0, 0.0, 1.0]}), tmp_path / "t.parquet")
    csv, parquet = bs.open(tmp_path / "t.csv"), bs.open(tmp_path / "t.parquet")
    assert csv.column(csv.label_name).tolist() == parquet.column(parquet.label_name).tolist() == [1.0, 0.0, 1.0]
    said = "label: 2 different whole numbers written with decimals, used as targets"
    assert said in [choice.chosen for choice in csv.choices]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["0,5", "1,25", "2,5"], "decimal comma, such as '0,5'.*decimal=','"),
        (["1,000", "2,500", "900"], "of thousands.*thousands=','"),
    ],
)
def test_numbers_with_a_comma_are_named(tmp_path, cells, message):
    (tmp_path / "t.csv").write_text(
        "a;b;label\n" + "".join(f"{cell};{cell};{i % 2}\n" for i, cell in enumerate(cells)), encoding="utf-8"
    )
    with pytest.raises(bs.BadSetting, match=rf"column 'a' of .*t\.csv has numbers with .*{message}"):
        bs.open(tmp_path / "t.csv")


@pytest.mark.parametrize("cells", [["$1,200", "$13,450", "$134,490.50"], ["1200 €", "980 €", "77 €"]])
def test_amounts_are_no_tags_and_no_classes(tmp_path, cells):
    lines = [f'{i},"{cell}"' for i, cell in enumerate(cells * 20)]
    (tmp_path / "t.csv").write_text("area,price\n" + "\n".join(lines), encoding="utf-8")
    with pytest.raises(bs.BadSetting, match=f"a currency sign, such as '{re.escape(cells[0])}'"):
        bs.open(tmp_path / "t.csv", labels="price")


def test_labels_with_a_comma_may_be_decimals_and_other_columns_are_left_out_for_it(tmp_path):
    for i in range(3):
        image(tmp_path / f"{i}.png", i)
    (tmp_path / "t.csv").write_text("path;label\n0.png;0,5\n1.png;1,5\n2.png;0,1\n", encoding="utf-8")
    with pytest.raises(bs.BadSetting, match="with a decimal point if this is a decimal comma"):
        bs.open(tmp_path / "t.csv")
    (tmp_path / "u.csv").write_text("path;size;label\n0.png;0,5;a\n1.png;1,5;b\n2.png;7;a\n", encoding="utf-8")
    assert "size: numbers with a comma; write them with a decimal point" in bs.open(tmp_path / "u.csv").left_out


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("scans/A.PNG", r"scans.a\.png exists, which differs in case"),
        ("scans/a.jpg", r"scans.a\.png exists, which differs in the suffix"),
        ("/home/x/data/scans/a.png", r"path of another machine, but .*scans.a\.png exists"),
        (r"C:\data\scans\a.png", r"path of another machine, but .*scans.a\.png exists"),
        ("memory://bucket/scans/A.PNG", r"memory://bucket/scans/a\.png exists, which differs in case"),
        ("memory://bucket/scans/b.png", r"memory://bucket/scans/b\.png$"),
    ],
)
@pytest.mark.parametrize("column", ["path", "photo"])
def test_a_path_that_is_not_there_is_answered_with_what_is(tmp_path, named, message, column):
    image(tmp_path / "scans" / "a.png", 1)
    memory_storage({"scans/a.png": b"a"})
    if (tmp_path / "SCANS").exists() and "A.PNG" in named:
        pytest.skip("names differ in case alone: one file here")
    (tmp_path / "t.csv").write_text(f"{column},label\n{named},a\n", encoding="utf-8")
    with pytest.raises(bs.NotFound, match=message):
        bs.open(tmp_path / "t.csv")
    (tmp_path / "u.csv").write_text(f"{column},label\nnone.png,a\n", encoding="utf-8")
    with pytest.raises(bs.NotFound, match=r"none\.png$"):
        bs.open(tmp_path / "u.csv")
