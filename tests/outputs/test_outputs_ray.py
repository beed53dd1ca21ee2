"""Datasets of Ray Data: every row once, with the values of a loader."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import noise, write_jpeg

import bitesize as bs
from bitesize.outputs.ray import ranges
from bitesize.sources.protocol import ChunkStarts
from bitesize.storage.stores import configure

ray = pytest.importorskip("ray", reason="the datasets are those of Ray Data")
data = pytest.importorskip("ray.data", reason="the datasets are those of Ray Data")
# Ray Data warns of its own settings when it makes them, and its threads let a warning through that they mean to ignore.
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore:The given NumPy array is not writable:UserWarning"
)


@pytest.fixture(autouse=True)
def nothing_left_behind():
    """Connections of Ray to its workers stay open as long as the session."""


@pytest.fixture(scope="module", autouse=True)
def session():
    """Ray on this machine, which returns blocks in the order of the rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        context = data.DataContext.get_current()
        context.enable_progress_bars = False
        patch.setattr(context.execution_options, "preserve_order", True)
        yield
        ray.shutdown()


def rows_of(source, **settings):
    """Return the rows of a loader, field by field."""
    with bs.Loader(source, batch_size=5, shuffle=False, last="short", memory="64 MiB", **settings) as loader:
        batches = [batch.copy() for batch in loader]
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def columns(dataset):
    """Return the rows of a dataset, column by column."""
    batches = list(dataset.iter_batches(batch_size=None, batch_format="numpy"))
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def check(dataset, expected):
    found = columns(dataset)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values)


def one_npy(folder):
    np.save(folder / "x.npy", np.arange(500.0).reshape(50, 10))
    return bs.open(folder / "x.npy"), {}


def folder_of_npy(folder):
    for i in range(20):
        (folder / "ab"[i % 2]).mkdir(exist_ok=True)
        np.save(folder / "ab"[i % 2] / f"{i:02}.npy", np.full((3, 4), i, np.float32))
    return bs.open(folder), {}


def photos(folder):
    for i in range(20):
        write_jpeg(folder / "ab"[i % 2] / f"{i:02}.jpg", noise(30 + i, 40, seed=i))
    return bs.open(folder), {"transforms": [bs.Resize(16), bs.Normalize("imagenet")], "dtype": "float16"}


def hdf5(folder):
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "x.h5", "w") as file:
        file.create_dataset("x", data=np.arange(600, dtype=np.int32).reshape(100, 6), chunks=(8, 6), compression="gzip")
        file.create_dataset("y", data=np.arange(100) % 3)
    return bs.open(folder / "x.h5"), {}


def parquet(folder):
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = arrow.table({"a": np.arange(90.0), "b": np.arange(90.0) ** 2, "label": np.arange(90) % 2})
    parquet.write_table(table, folder / "rows.parquet", row_group_size=16)
    return bs.open(folder / "rows.parquet"), {}


@pytest.mark.parametrize("make", [one_npy, folder_of_npy, photos, hdf5, parquet], ids=lambda make: make.__name__)
def test_all_rows_come_once_and_in_order(make, tmp_path):
    source, settings = make(tmp_path)
    expected = rows_of(source, **settings)
    for blocks in (1, 3, 7):
        dataset = bs.to_ray(source, override_num_blocks=blocks, **settings)
        assert dataset.count() == len(source)
        check(dataset, expected)


@pytest.mark.remote
def test_tasks_read_addresses_with_the_options_of_the_program(tmp_path, s3_server, bucket):
    content = np.arange(500.0).reshape(50, 10)
    np.save(tmp_path / "x.npy", content)
    s3_server.put(bucket, "x.npy", (tmp_path / "x.npy").read_bytes())
    configure(f"s3://{bucket}", s3_server.options())
    check(bs.to_ray(bs.open(f"s3://{bucket}/x.npy"), override_num_blocks=3), {"x": content})


def test_blocks_are_those_of_the_ranges_and_bounded_in_bytes():
    source = bs.open(np.arange(4 << 20).reshape(-1, 1024))
    dataset = bs.to_ray(source, memory="4 MiB", override_num_blocks=2)
    (task, _) = dataset_source(dataset).get_read_tasks(2)
    blocks = list(task())
    assert task.metadata.num_rows == sum(block.num_rows for block in blocks) == len(source) // 2
    assert task.metadata.size_bytes == 16 << 20
    assert max(block.num_rows * 1024 * 8 for block in blocks) <= (4 << 20) // 8
    np.testing.assert_array_equal(columns(dataset)["x"], np.arange(4 << 20).reshape(-1, 1024))


def dataset_source(dataset):
    return dataset._logical_plan.dag.datasource


def test_tasks_end_at_chunks_and_read_each_once(tmp_path):
    source, _ = hdf5(tmp_path)
    found = ranges(source, 7)
    assert [start for start, _ in found[1:]] == [stop for _, stop in found[:-1]]
    assert (found[0][0], found[-1][1]) == (0, 100)
    assert all(start % 8 == 0 for start, _ in found)
    assert len(ranges(source, 1000)) == 13  # chunks
    assert len(ranges(bs.open(np.zeros((5, 2))), 1000)) == 5


class Chunked(bs.Source):
    """Rows in chunks of several sizes."""

    spec = {"x": bs.Field((), np.dtype("i8"))}
    reads_by_chunk = True

    def __init__(self, sizes):
        self._starts = np.concatenate([[0], np.cumsum(sizes)])

    def __len__(self):
        return int(self._starts[-1])

    def read(self, rows, into):
        into["x"][...] = rows

    def chunks(self):
        return ChunkStarts(self._starts, None)

    def _identity(self):
        return self._starts.tobytes()


@given(st.lists(st.integers(1, 20), min_size=1, max_size=30), st.integers(1, 100), st.booleans())
def test_ranges_have_each_row_once_and_whole_chunks(sizes, parts, chunked):
    source = Chunked(sizes) if chunked else bs.open(np.zeros(sum(sizes)))
    found = ranges(source, parts)
    assert [row for start, stop in found for row in range(start, stop)] == list(range(len(source)))
    assert len(found) <= parts
    assert all(start < stop for start, stop in found)
    if chunked:
        assert {start for start, _ in found} <= set(np.cumsum([0, *sizes]).tolist())


def test_a_limit_of_rows_reads_no_more():
    source = bs.open(np.arange(100.0))
    dataset = bs.to_ray(source, override_num_blocks=4)
    tasks = dataset_source(dataset).get_read_tasks(4, 3)
    assert [task.metadata.num_rows for task in tasks] == [3] * 4
    assert [sum(block.num_rows for block in task()) for task in tasks] == [3] * 4
    assert dataset_source(dataset).get_read_tasks(4, 1000)[0].metadata.num_rows == 25
    np.testing.assert_array_equal(columns(dataset.limit(30))["x"], np.arange(30.0))


def test_tasks_are_small_whatever_the_source_holds():
    dataset = bs.to_ray(bs.open(np.zeros((100_000, 10))), override_num_blocks=4)
    assert dataset_source(dataset).estimate_inmemory_data_size() == 8_000_000
    for task in dataset_source(dataset).get_read_tasks(4):
        assert len(ray.cloudpickle.dumps(task)) < 10_000


def test_schema_types_and_names_of_classes(tmp_path):
    source, settings = photos(tmp_path)
    dataset = bs.to_ray(source, class_names=True, override_num_blocks=2, **settings)
    assert dataset.schema().names == ["x", "y", "y_name"]
    assert dataset.schema().types[0].shape == (16, 16, 3)
    assert dataset.take(1)[0]["x"].dtype == np.float16
    rows = dataset.take_all()
    assert [row["y_name"] for row in rows] == [source.classes[row["y"]] for row in rows]


def test_numbers_are_measured_once_and_not_for_each_block(tmp_path):
    source, _ = photos(tmp_path)
    settings = {"transforms": [bs.Resize(16), bs.Normalize("data")]}
    check(bs.to_ray(source, override_num_blocks=3, **settings), rows_of(source, **settings))


def test_batches_go_through_functions_and_to_torch():
    source = bs.open(np.arange(40.0).reshape(20, 2), np.arange(20) % 2)
    dataset = bs.to_ray(source, override_num_blocks=3)
    doubled = dataset.map_batches(lambda batch: {"x": batch["x"] * 2})
    np.testing.assert_array_equal(columns(doubled)["x"], np.arange(40.0).reshape(20, 2) * 2)
    pytest.importorskip("torch")
    batches = list(dataset.iter_torch_batches(batch_size=8))
    assert [tuple(batch["x"].shape) for batch in batches] == [(8, 2), (8, 2), (4, 2)]
    np.testing.assert_array_equal(np.concatenate([batch["x"].numpy() for batch in batches]), np.arange(40.0).reshape(20, 2))


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    source, settings = photos(tmp_path)
    (tmp_path / "b" / "07.jpg").write_bytes(b"no image")
    with pytest.raises(bs.BadFile, match=r"07\.jpg"):
        bs.to_ray(source, override_num_blocks=2, **settings).materialize()


@pytest.mark.parametrize("blocks", [1, 20])
def test_images_of_several_sizes_need_one(tmp_path, blocks):
    source, _ = photos(tmp_path)
    with pytest.raises(bs.BitesizeError, match=r"bs\.Resize"):
        bs.to_ray(source, override_num_blocks=blocks).materialize()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"transforms": [bs.Resize(16), bs.Flip()]}, "is random"),
        ({"transforms": [bs.Resize(16)], "dtype": "bfloat16"}, "Arrow does not have"),
    ],
    ids=str,
)
def test_what_no_dataset_can_have_is_refused_before_anything_runs(tmp_path, settings, message):
    source, _ = photos(tmp_path)
    if settings.get("dtype") == "bfloat16":
        settings = settings | {"dtype": pytest.importorskip("ml_dtypes").bfloat16}
    with pytest.raises(bs.BadSetting, match=message):
        bs.to_ray(source, **settings)


def test_names_of_classes_need_classes():
    with pytest.raises(bs.BadSetting, match="class_names"):
        bs.to_ray(bs.open(np.zeros((5, 2))), class_names=True)
    with pytest.raises(bs.BadSetting, match="takes a Source"):
        bs.to_ray(np.zeros((5, 2)))


def test_rows_that_do_not_fit_the_budget_are_refused():
    with pytest.raises(bs.DoesNotFit):
        bs.to_ray(bs.open(np.zeros((3, 1 << 20))), memory="4 MiB")


def test_without_ray_the_error_says_what_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray.data", None)
    with pytest.raises(bs.MissingPackage, match=r"pip install 'bitesize\[ray\]'"):
        bs.to_ray(bs.open(np.zeros((5, 2))))
