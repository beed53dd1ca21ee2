"""Parts for training, validation and test, and folds: repeatable, stratified, and with groups kept whole."""

import hashlib
import logging
import pickle

import numpy as np
import pytest
from PIL import Image

import bitesize as bs
from bitesize.sources.groups import groups_of, suggested_groups

LABELS = np.array([0] * 40 + [1] * 17 + [2] * 2 + [3])
GROUPS = np.arange(60) // 7


def numbered(rows, labels=None):
    """Rows that hold their own number."""
    return bs.open(np.arange(float(rows)), labels)


def rows_of(source):
    return source.column("x").astype(int).tolist()


def folders(path, names):
    """Write one small picture a name."""
    for i, name in enumerate(names):
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (i % 256, i // 256, 0)).save(file)
    return bs.open(path)


def patients(path):
    """Two classes, six patients in each, of which three are in both."""
    names = [f"{c}/p{p + 3 * (c == 'well')}/{i}.png" for c in ("ill", "well") for p in range(6) for i in range(4)]
    return folders(path, names)


def patients_of(source):
    return {source.describe(row).replace("\\", "/").split("/")[-2] for row in range(len(source))}


class Table(bs.Source):
    """Numbers beside columns of text that are no fields."""

    def __init__(self, **columns):
        self.columns = {name: np.array(values) for name, values in columns.items()}
        self.spec = {"x": bs.Field((), np.dtype(np.float64))}

    def __len__(self):
        return len(next(iter(self.columns.values())))

    def read(self, rows, into):
        into["x"][...] = rows

    def _identity(self):
        return repr(self.columns).encode()

    @property
    def column_names(self):
        return ("x", *self.columns)

    def column(self, name):
        return self.columns[name] if name in self.columns else super().column(name)


# --- parts -----------------------------------------------------------------------------------------------------------


def test_a_split_in_two_has_the_rows_that_it_always_had():
    source = numbered(60, LABELS)
    assert rows_of(source.split(0.9, seed=3)[1]) == [8, 16, 21, 31, 42, 56, 58]
    assert rows_of(source.split(0.7, seed=3, by=GROUPS)[1]) == [*range(7), *range(49, 60)]
    seen = hashlib.sha256()
    for fraction in (0.2, 0.3, 0.5, 0.77, 0.85):
        for seed in range(5):
            for by in (None, GROUPS, GROUPS.astype(str), GROUPS / 3):
                seen.update(str(rows_of(source.split(fraction, seed=seed, by=by)[0])).encode())
    assert seen.hexdigest()[:16] == "63e720d5058b62f0"


@pytest.mark.parametrize("fractions", [(0.7, 0.15, 0.15), (0.5, 0.5), (0.1, 0.2, 0.3, 0.4), (1 / 3, 1 / 3, 1 / 3)])
def test_parts_have_every_row_once_and_every_class_in_its_share(fractions):
    labels = np.random.default_rng(0).choice(3, 1000, p=[0.6, 0.3, 0.1])
    parts = numbered(1000, labels).split(*fractions, seed=1)
    assert len(parts) == len(fractions)
    assert sorted(row for part in parts for row in rows_of(part)) == list(range(1000))
    for part, fraction in zip(parts, fractions, strict=True):
        assert rows_of(part) == sorted(rows_of(part))
        for label, count in enumerate(np.bincount(labels)):
            assert abs((part.labels == label).sum() - fraction * count) <= 1
    assert [rows_of(part) for part in numbered(1000, labels).split(*fractions, seed=1)] == [*map(rows_of, parts)]
    assert rows_of(numbered(1000, labels).split(*fractions, seed=2)[0]) != rows_of(parts[0])


def test_the_first_of_several_parts_is_that_of_a_split_in_two():
    labels = np.arange(200) % 3
    first, *_ = numbered(200, labels).split(0.7, 0.15, 0.15, seed=5)
    assert rows_of(first) == rows_of(numbered(200, labels).split(0.7, seed=5)[0])
    first, *_ = numbered(200).split(0.7, 0.15, 0.15, seed=5, by=np.arange(200) // 5)
    assert rows_of(first) == rows_of(numbered(200).split(0.7, seed=5, by=np.arange(200) // 5)[0])


def test_each_part_sees_each_class_that_has_rows_enough_and_others_are_said(caplog):
    labels = [0] * 50 + [1] * 3 + [2]
    parts = numbered(54, labels).split(0.8, 0.1, 0.1)
    assert [(part.labels == 1).sum() for part in parts] == [1, 1, 1]
    assert "part 2 of 3 has no rows of 1 of 3 classes: 2" in caplog.text


@pytest.mark.parametrize(
    ("fractions", "says"),
    [
        ((0.8, 0.1), r"sum to 0.9, which would drop rows: add a part, split\(0.8, 0.1, 0.1\)"),
        ((0.8, 0.3), "sum to 1.1, which is more than 1"),
        ((80,), "between 0 and 1, such as 0.9, not 80"),
        ((1.0,), "between 0 and 1"),
        ((0.5, 0.5, 0), "between 0 and 1"),
        ((True,), "between 0 and 1"),
        (((0.8, 0.2),), r"one by one: split\(0.8, 0.2\)"),
        ((), r"split\(0.9\), or of all parts, split\(0.7, 0.15, 0.15\)"),
    ],
)
def test_fractions_that_cannot_be_are_refused_with_the_fix(fractions, says):
    with pytest.raises(bs.BadSetting, match=says):
        numbered(10).split(*fractions)


def test_too_few_rows_for_the_parts_are_told():
    with pytest.raises(bs.BadSetting, match=r"2 rows cannot be split 0.7 to 0.15 to 0.15: one part would be empty"):
        numbered(2).split(0.7, 0.15, 0.15)


def test_too_few_groups_for_the_parts_are_told():
    with pytest.raises(
        bs.BadSetting, match=r"5 groups cannot be split 0.95 to 0.05: .* The largest group has 0.2 of the rows"
    ):
        numbered(50).split(0.95, by=np.arange(50) // 10)
    with pytest.raises(bs.BadSetting, match="the rows belong to 1 group, too few for 2 parts"):
        numbered(50).split(0.8, by=np.zeros(50))
    with pytest.raises(bs.BadSetting, match=r"one group per row, shape \(50,\), not \(3,\)"):
        numbered(50).split(0.8, by=[1, 2, 3])


def test_rows_without_a_group_are_said_to_be_one_group(caplog):
    one, other = numbered(8).split(0.5, by=[None, "a", 1, 2, None, "a", 1, 2])
    assert sorted((*rows_of(one), *rows_of(other))) == list(range(8))
    assert "2 rows have no group" in caplog.text
    caplog.clear()
    numbered(6).split(0.5, by=[1.0, 1.0, 2.0, 2.0, np.nan, 3.0])
    assert "1 rows have no group" in caplog.text


# --- groups ----------------------------------------------------------------------------------------------------------


def test_the_same_folder_below_two_classes_is_one_group(tmp_path):
    source = patients(tmp_path)
    assert groups_of(source, "folder").tolist()[:5] == ["p0", "p0", "p0", "p0", "p1"]
    for seed in range(10):
        train, val, test = source.split(0.5, 0.25, 0.25, seed=seed, by="folder")
        assert patients_of(train) | patients_of(val) | patients_of(test) == {f"p{i}" for i in range(9)}
        assert not patients_of(train) & patients_of(val) | patients_of(val) & patients_of(test)
    assert "rows are kept together by folders: 9 groups (p0, p1, p2, ...)" in [choice.chosen for choice in train.choices]


def test_groups_by_folder_do_not_depend_on_what_classes_are_called_or_whether_there_are_some(tmp_path):
    source = patients(tmp_path)
    expected = groups_of(source, "folder").tolist()
    for other in (
        source.map_labels({"ill": "sick", "well": "sick"}),
        source.renumber(["well", "other", "ill"]),
        source.one_hot(),
        bs.chain([source.subset(range(10)), source.subset(range(10, 48))]),
        bs.zip(source, depth=bs.open(np.zeros(48))),
        bs.zip(source.map_labels({"ill": "sick", "well": "sick"}), depth=bs.open(np.zeros(48))),
    ):
        assert groups_of(other, "folder").tolist() == expected
    labeled = bs.open([tmp_path / "ill" / "p0" / "0.png", tmp_path / "well" / "p3" / "1.png"], labels=["a", "b"])
    assert groups_of(labeled, "folder").tolist() == ["p0", "p3"]  # one folder for each label: folders of classes
    plain = bs.open([tmp_path / "ill" / f"p{i}" / "0.png" for i in range(3)])
    assert groups_of(plain, "folder").tolist() == ["p0", "p1", "p2"]


def test_deeper_folders_are_groups_by_their_whole_path_below_the_class(tmp_path):
    source = folders(tmp_path, [f"{c}/p{p}/s{s}/{i}.png" for c in "ab" for p in "12" for s in "12" for i in "12"])
    assert sorted(set(groups_of(source, "folder"))) == ["p1/s1", "p1/s2", "p2/s1", "p2/s2"]
    assert sorted(set(groups_of(source, r"/(p\d)/"))) == ["p1", "p2"]


def test_files_in_no_folder_are_named(tmp_path):
    source = folders(tmp_path, ["ill/p0/0.png", "ill/stray.png", "well/p1/0.png", "well/p0/1.png"])
    with pytest.raises(
        bs.BadSetting, match=r"below the folder of its class, but 1 of 4 files are not \(.*stray.png\): omit it"
    ):
        source.split(0.5, by="folder")
    flat = folders(tmp_path / "flat", ["ill/0.png", "ill/1.png", "well/0.png"])
    with pytest.raises(bs.BadSetting, match="but 3 of 3 files are not"):
        flat.folds(2, by="folder")
    with pytest.raises(bs.BadSetting, match=r"needs rows that are separate files"):
        numbered(5).split(0.5, by="folder")


def test_groups_by_a_part_of_the_path(tmp_path):
    source = folders(tmp_path, [f"{c}/patient{p:02}_{i}.png" for c in ("ill", "well") for p in range(6) for i in range(3)])
    train, val = source.split(0.6, by=r"(patient\d+)")
    groups = [set(groups_of(part, r"(patient\d+)")) for part in (train, val)]
    assert not groups[0] & groups[1]
    assert len(groups[0] | groups[1]) == 6
    with pytest.raises(bs.BadSetting, match=r"is not found in 18 of 36 paths: well/patient00_0.png, .*, \.\.\."):
        source.split(0.6, by=r"ill/(patient\d+)")


@pytest.mark.parametrize(
    ("by", "says"),
    [
        (
            "pateint",
            r'neither "folder" nor one of the columns x, y; a regular expression needs one group in parentheses.*has 0',
        ),
        (r"(a)(b)", "but this one has 2"),
        ("(", "nor a regular expression: missing"),
    ],
)
def test_a_text_that_is_no_groups_names_the_columns(tmp_path, by, says):
    with pytest.raises(bs.BadSetting, match=says):
        patients(tmp_path).split(0.5, by=by)


def test_groups_by_a_column_also_one_that_is_no_field():
    source = Table(patient=[f"p{i % 7}" for i in range(70)], folder=["u", "v"] * 35)
    train, val = source.split(0.7, by="patient")
    assert not {row % 7 for row in rows_of(train)} & {row % 7 for row in rows_of(val)}
    assert {row % 2 for row in rows_of(source.split(0.5, by="folder")[0])} in ({0}, {1})  # rows are no files: the column
    assert {row % 7 for row in rows_of(val.folds(2, by="patient")[0][1])} < {row % 7 for row in rows_of(val)}
    holes = Table(patient=["a", " ", "b", "", "c"])
    with pytest.raises(
        bs.BadSetting, match="2 rows have no value in the column 'patient', so their group is unknown: row 1, row 3"
    ):
        holes.split(0.5, by="patient")


# --- folds -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("k", [2, 3, 7])
def test_every_row_is_in_exactly_one_validation_fold_and_classes_are_even(k, seed):
    labels = np.random.default_rng(seed).choice(4, 211, p=[0.5, 0.3, 0.15, 0.05])
    source = numbered(211, labels)
    folds = source.folds(k, seed=seed)
    assert len(folds) == k
    assert sorted(row for _, val in folds for row in rows_of(val)) == list(range(211))
    for train, val in folds:
        assert sorted(rows_of(train) + rows_of(val)) == list(range(211))
        assert len(val) in (211 // k, 211 // k + 1)
        for label, count in enumerate(np.bincount(labels)):
            assert abs((val.labels == label).sum() - count / k) < 1
    assert [rows_of(val) for _, val in source.folds(k, seed=seed)] == [rows_of(val) for _, val in folds]
    assert rows_of(source.folds(k, seed=seed + 1)[0][1]) != rows_of(folds[0][1])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("labeled", [True, False])
def test_folds_keep_groups_whole_and_are_even(seed, labeled):
    random = np.random.default_rng(seed)
    groups = random.integers(0, 60, 1200)
    labels = random.choice(3, 1200, p=[0.7, 0.2, 0.1]) if labeled else None
    folds = numbered(1200, labels).folds(5, seed=seed, by=groups)
    assert sorted(row for _, val in folds for row in rows_of(val)) == list(range(1200))
    for train, val in folds:
        assert not {*groups[rows_of(train)]} & {*groups[rows_of(val)]}
        assert abs(len(val) - 240) < 40
        if labels is not None:
            assert (abs(np.bincount(val.labels) / np.bincount(labels) - 0.2) < 0.06).all()


def test_folds_by_groups_are_about_as_even_as_those_of_scikit_learn():
    selection = pytest.importorskip("sklearn.model_selection")
    for seed in range(5):
        random = np.random.default_rng(seed)
        sizes = random.geometric(0.1, 40)
        groups = np.repeat(np.arange(40), sizes)
        labels = (random.random(len(groups)) < np.repeat(random.random(40), sizes)).astype(np.int64)
        ours = [val.labels for _, val in numbered(len(groups), labels).folds(4, seed=seed, by=groups)]
        theirs = selection.StratifiedGroupKFold(4, shuffle=True, random_state=seed).split(groups, labels, groups)
        mine = np.std([np.bincount(fold, minlength=2) for fold in ours], axis=0)
        other = np.std([np.bincount(labels[rows], minlength=2) for _, rows in theirs], axis=0)
        assert mine.mean() <= other.mean() + 1


def test_folds_that_cannot_be_are_refused_and_uneven_ones_are_said(caplog):
    source = numbered(60, LABELS)
    for k, by, says in (
        (1, None, "at least 2"),
        (2.5, None, "at least 2"),
        (61, None, "60 rows cannot make 61 folds: set k to at most 60"),
        (10, GROUPS, "9 groups cannot make 10 folds: set k to at most 9"),
    ):
        with pytest.raises(bs.BadSetting, match=says):
            source.folds(k, by=by)
    with pytest.raises(bs.BadSetting, match="seed must be a whole number"):
        source.folds(3, seed="a")
    caplog.clear()
    assert sorted(row for _, val in source.folds(5) for row in rows_of(val)) == list(range(60))
    assert "has no rows of" in caplog.text
    assert len(source.folds(9, by=GROUPS)) == 9


# --- hints -----------------------------------------------------------------------------------------------------------


def test_a_split_across_folders_below_the_classes_is_said(tmp_path, caplog):
    source = patients(tmp_path)
    train, val = source.split(0.8)
    hint = next(choice for choice in train.choices if choice.setting == 'by="folder"')
    assert "files are in folders below the class folders (p0, p1, p2, ...)" in hint.chosen
    assert hint in val.choices
    assert 'by="folder" keeps them together' in caplog.text
    assert hint in source.folds(3)[0][0].choices
    caplog.clear()
    train.split(0.5)
    assert not caplog.text  # it was said already


def test_names_that_begin_alike_are_said_and_the_setting_works(tmp_path):
    source = folders(tmp_path, [f"{c}/p{p:02}_{i:03}.png" for c in "ab" for p in range(5) for i in range(4)])
    hint = suggested_groups(source)
    assert "file names share prefixes (p00, p01, p02, ...)" in hint.chosen
    assert sorted(set(groups_of(source, eval(hint.setting.removeprefix("by="))))) == [f"p{p:02}" for p in range(5)]


@pytest.mark.parametrize(
    "names",
    [
        [f"{c}/{i}.png" for c in "ab" for i in range(20)],
        [f"{c}/{c}_{i}.png" for c in ("n01", "n02") for i in range(20)],  # as in ImageNet: the class once more
        [f"{c}/IMG_{i:04}.png" for c in "ab" for i in range(20)],
        [f"{c}/{word}_{i}.png" for c in "ab" for word in ("red", "blue") for i in range(9)],
        [f"{c}/p{i}_0.png" for c in "ab" for i in range(20)],  # one file each
        [f"{i}.png" for i in range(20)],
    ],
    ids=["numbers", "classes", "one prefix", "words", "single files", "no classes"],
)
def test_usual_names_are_no_hint(tmp_path, names):
    assert suggested_groups(folders(tmp_path, names)) is None


@pytest.mark.parametrize("name", ["patient", "Patient_ID", "patientId", "subject-no", "scan_id", "USER", "video"])
def test_a_column_of_groups_is_a_hint(name):
    repeated = Table(**{name: [f"p{i % 7}" for i in range(70)]})
    assert suggested_groups(repeated).setting == f'by="{name}"'
    assert suggested_groups(Table(**{name: [f"p{i}" for i in range(70)]})) is None  # each row has its own
    assert suggested_groups(Table(**{name: ["p"] * 70})) is None


@pytest.mark.parametrize("name", ["id", "path", "label", "age", "impatient", "username2x", "grouping"])
def test_other_columns_are_no_hint(name):
    assert suggested_groups(Table(**{name: [f"p{i % 7}" for i in range(70)]})) is None


def test_a_field_of_data_or_the_classes_called_like_groups_is_no_hint():
    scans = bs.zip(scan=bs.open(np.zeros((20, 4, 4))), video=bs.open(np.zeros((20, 2, 4, 4))))
    assert suggested_groups(scans) is None
    assert len(scans.split(0.5)[0]) == 10
    assert suggested_groups(bs.zip(bs.open(np.zeros(20), np.arange(20) % 2), group=bs.open(np.arange(20) % 2))) is None
    assert suggested_groups(bs.zip(bs.open(np.zeros(20), np.arange(20) % 2), group=bs.open(np.arange(20) % 5))) is not None


def test_a_hint_looks_at_few_rows_of_many():
    class Many(bs.Source):
        asked = 0
        spec = {"x": bs.Field((), np.dtype(np.float32))}

        def __len__(self):
            return 10_000_000

        def read(self, rows, into):
            raise AssertionError("read")

        def path(self, row):
            self.asked += 1
            return b"/data/p%d/%d.png" % (row // 100, row)

        def _identity(self):
            return b""

    source = Many()
    source.paths_root = b"/data"
    assert suggested_groups(source).setting == 'by="folder"'
    assert source.asked < 2_100


# --- what sources carry -----------------------------------------------------------------------------------------------


def weighed(rows=12, root="data", **changes):
    source = bs.zip(bs.open(np.arange(float(rows)), np.arange(rows) % 3), weight=bs.open(np.ones(rows)))
    source.weight_name, source.choices = "weight", (bs.sources.choices.Choice(f"labels of {root}", "labels="),)
    source.left_out = {"other files (.txt)": 2}
    for name, value in changes.items():
        setattr(source, name, value)
    return source


@pytest.mark.parametrize(
    "make",
    [
        lambda s: s,
        lambda s: s.subset([3, 1]),
        lambda s: s.subset([3, 1, 7]).subset([0, 2]),
        lambda s: s.split(0.5)[0],
        lambda s: s.folds(2)[0][1],
        lambda s: s.map_labels(str),
        lambda s: s.map_labels(str).renumber(["2", "1", "0"]),
        lambda s: s.one_hot(),
        lambda s: s.one_hot().split(0.5)[1],
        lambda s: bs.chain([s, s.subset(range(5))]),
        lambda s: bs.mix([s, s.subset(range(5))], [1, 1]),
        lambda s: bs.zip(s, more=bs.open(np.zeros(12))),
    ],
)
def test_every_source_made_of_another_carries_what_is_known_and_pickles(make):
    made = make(weighed())
    for source in (made, pickle.loads(pickle.dumps(made))):
        assert source.weight_name == "weight"
        assert source.choices[0] == ("labels of data", "labels=")
        assert source.left_out["other files (.txt)"] in (2, 4)
        assert source.fingerprint() == made.fingerprint()
        with bs.Loader(source, batch_size=len(source), memory="16 MiB", shuffle=False) as loader:
            assert next(iter(loader))["weight"].tolist() == [1.0] * len(source)


def test_features_are_carried_and_must_be_the_same_columns_to_chain():
    one, other = (weighed(feature_names=names) for names in (("a", "b"), ("b", "a")))
    assert one.split(0.5)[0].feature_names == ("a", "b")
    for join in (bs.chain, lambda sources: bs.mix(sources, [1, 1])):
        with pytest.raises(bs.BadSetting, match="the same columns in x: one source has a, b, source 1 has b, a"):
            join([one, other])
        assert join([weighed(), one]).feature_names == ("a", "b")


def test_weights_that_sources_disagree_on_are_said():
    one, other = weighed(), weighed(weight_name=None)
    joined = bs.chain([other, one])
    assert joined.weight_name == "weight"
    assert "also for sources in which it is not a weight field" in joined.choices[-1].chosen
    both = bs.zip(left=weighed(), right=weighed())
    assert both.weight_name is None
    assert "several sources have weights (left_weight, right_weight)" in both.choices[-1].chosen
    assert both.left_out == {"other files (.txt)": 4}


def test_part_of_a_mixture_says_that_its_shares_are_gone():
    mixed = bs.mix([numbered(90), numbered(10)], shares=[1, 1])
    assert "the shares of bs.mix hold only for all rows" in mixed.subset(range(50)).choices[-1].chosen
    assert len([choice for choice in mixed.subset(range(50)).subset([1]).choices if "shares" in choice.chosen]) == 1


# --- one-hot labels ---------------------------------------------------------------------------------------------------


def test_one_hot_labels_keep_classes_splits_and_orders():
    source = bs.open(np.arange(60.0), [["cat", "dog", "cow"][label % 3] for label in LABELS])
    hot = source.one_hot()
    assert (hot.classes, hot.class_count, hot.labels.tolist()) == (source.classes, 3, source.labels.tolist())
    assert hot.spec["y"] == bs.Field((3,), np.dtype(np.float32))
    assert hot.fingerprint() != source.fingerprint()
    assert rows_of(hot.split(0.7)[0]) == rows_of(source.split(0.7)[0])
    for order in (None, "balanced"):
        with bs.Loader(hot, batch_size=7, memory="16 MiB", order=order, threads=2) as loader:
            for batch in loader:
                assert np.array_equal(batch["y"], np.eye(3, dtype=np.float32)[source.labels[batch.rows]])
                del batch


@pytest.mark.parametrize("labels", [None, np.linspace(0, 1, 8), np.zeros((8, 2), np.int64), np.arange(8) - 1])
def test_one_hot_needs_class_labels(labels):
    with pytest.raises(bs.BadSetting, match="one_hot needs class"):
        bs.open(np.zeros((8, 2)), labels).one_hot()


@pytest.fixture(autouse=True)
def said(caplog):
    caplog.set_level(logging.INFO, "bitesize")
