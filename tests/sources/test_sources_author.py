"""What the author of a source uses: the contract, `bitesize.sources`, and registration."""

import subprocess
import sys

import numpy as np
import pytest

import bitesize as bs
from bitesize import sources
from bitesize.sources.registry import registered
from bitesize.testing import read_rows


@pytest.fixture
def no_registered(monkeypatch):
    monkeypatch.setattr("bitesize.sources.registry._registered", [])


def make_source(factor=1, title="lines of numbers"):
    class Lines(sources.Source):
        suffixes = (".lines",)

        def __init__(self, values):
            self._values = values
            self.spec = {"x": sources.Field((), np.dtype("f8")), "y": sources.Field((), np.dtype("i8"))}
            self._labels = np.arange(len(values), dtype=np.int64) % 3

        def __len__(self):
            return len(self._values)

        def read(self, rows, into):
            into["x"][...] = self._values[rows] * factor
            self.read_other_fields(rows, into)

        def _identity(self):
            return self._values.tobytes()

        @classmethod
        def takes(cls, data):
            return isinstance(data, range)

        @classmethod
        def opened(cls, data, options):
            return cls(np.loadtxt(data[0]) if isinstance(data, list) else np.array(data, np.float64))

    Lines.title = title
    return Lines


def test_all_names_exist_and_are_in_the_docstring():
    for name in sources.__all__:
        assert getattr(sources, name) is not None
        assert name in sources.__doc__, name


def test_a_registered_class_is_found_by_suffix_and_by_type(tmp_path, no_registered):
    np.savetxt(tmp_path / "a.lines", np.arange(12.0))
    with pytest.raises(bs.BitesizeError):
        bs.open(tmp_path / "a.lines")
    Lines = sources.register(make_source())
    for source in (bs.open(tmp_path / "a.lines"), bs.open(range(12))):
        assert type(source) is Lines
        assert isinstance(source, bs.Source)
        assert np.frombuffer(b"".join(read_rows(source, range(12))["x"])).tolist() == list(range(12))


def test_a_class_that_is_defined_again_replaces_the_one_that_it_was(no_registered):
    sources.register(make_source())
    again = sources.register(make_source(factor=10))
    assert registered() == (again,)
    assert bs.open(range(4))[3]["x"] == 30


@pytest.mark.parametrize("kind", [dict, 3, make_source(title="")])
def test_only_sources_with_a_title_are_registered(kind, no_registered):
    with pytest.raises(bs.BadSetting, match="register needs a subclass"):
        sources.register(kind)
    assert registered() == ()


def test_every_method_that_derives_a_source_works_for_a_class_of_a_user():
    source = make_source()(np.arange(30.0))
    derived = [
        source.subset([1, 5]),
        *source.split(0.5),
        *source.folds(3)[0],
        source.one_hot(),
        source.map_labels({0: "a", 1: "b", 2: "a"}),
        source.map_labels({0: "a", 1: "b", 2: "a"}).renumber(["b", "c", "a"]),
        bs.chain([source, source]),
        bs.zip(left=source, right=source),
    ]
    for each in derived:
        assert isinstance(each, sources.Source)
        assert isinstance(each, sources.RowSource)
    assert [part.derived_from for part in derived[:1]] == [(source,)]
    assert derived[-1].derived_from == derived[-2].derived_from == (source, source)


def test_a_source_of_a_user_may_have_attributes_of_usual_names():
    Lines = make_source()

    class Doubled(Lines):
        def __init__(self, source):
            self.inner = self.base = self.source = source
            self.parts = self.rows = self.files = [source]
            super().__init__(source._values * 2)

    doubled = Doubled(Lines(np.arange(6.0)))
    assert doubled.subset([2])[0]["x"] == 4
    assert doubled.explain().rows == 6
    assert doubled.derived_from == ()


def test_methods_that_derive_sources_are_there_whatever_is_imported_first():
    for module in ("base", "contract", "row_source", "combine.subset", "protocol"):
        code = f"import bitesize.sources.{module}; from bitesize.sources.base import Source; print(Source.combinators.split.__name__)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "split"


def test_a_sink_keeps_rows_and_a_portion_has_numbers_of_its_own():
    into = sources.new_buffers({"x": sources.Field((2,), np.dtype("u1")), "image": sources.Encoded("image", "RGB", True)}, 5)
    part = sources.portion(into, 2, 2)
    part["x"][...] = 7
    part["image"].put(1, 3)[:] = b"abc"
    assert into["x"][2:4].tolist() == [[7, 7], [7, 7]]
    assert {i: bytes(data) for i, data in into["image"].files.items()} == {3: b"abc"}
