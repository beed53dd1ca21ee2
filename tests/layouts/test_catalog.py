"""Each layout of the catalog is read as meant, refused, or read otherwise with a word about it."""

import contextlib
import gc
import importlib
import io
from dataclasses import replace

import pytest

from bitesize.errors import BitesizeError, FileChanged
from tests.layouts.catalog import LAYOUTS
from tests.layouts.catalog.check import judge, names_one, spoiled

ALLOWED = {"must_open": {"RIGHT"}, "may_refuse": {"RIGHT", "REFUSED", "SAID"}, "must_refuse": {"REFUSED"}}
CHECKED = [
    "imagefolder",
    "imagefolder_train_val_test",
    "house_price_regression",
    "mnist_npz",
    "seg_images_masks",
    "h5_text_labels",
    "parquet_shards",
    "wds_png_cls",
]


@pytest.fixture(scope="module", autouse=True)
def packages_loaded(tmp_path_factory):
    """Load what layouts need once: each test collects garbage, which takes longer with every package."""
    for name in ("h5py", "pandas", "pyarrow.parquet", "yaml"):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    # Zarr's event loop and Arrow's reader of CSV files keep descriptors open as long as the process lives.
    with contextlib.suppress(ImportError):
        importlib.import_module("pyarrow.csv").read_csv(io.BytesIO(b"a\n1\n"))
    with contextlib.suppress(ImportError):
        importlib.import_module("zarr").open_group(str(tmp_path_factory.mktemp("zarr")), mode="w")
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.parametrize("name", LAYOUTS)
def test_no_layout_is_misread_without_a_word(name, tmp_path):
    layout = LAYOUTS[name]
    outcome = judge(layout, tmp_path)
    assert outcome.verdict in ALLOWED[layout.kind], f"{outcome.verdict}: {outcome.detail}"
    if outcome.verdict == "REFUSED":
        assert isinstance(outcome.error, BitesizeError)
        assert outcome.split is None, f"the split that the error advised is refused: {outcome.detail}"
        assert not isinstance(outcome.error, FileChanged), f"no file has changed: {outcome.detail}"
        message = str(outcome.error).replace(str(tmp_path), "")
        assert not layout.named or names_one([message], layout.named), f"none of {layout.named} is in: {message}"


def test_each_layout_that_must_be_refused_says_what_the_message_names():
    assert [name for name, layout in LAYOUTS.items() if layout.kind == "must_refuse" and not layout.named] == []


@pytest.mark.parametrize("fault", ["a label changed", "a row added", "two labels swapped"])
@pytest.mark.parametrize("name", CHECKED)
def test_a_wrong_expectation_is_found(name, fault, tmp_path):
    layout = spoiled(LAYOUTS[name])[fault]
    assert judge(layout, tmp_path).verdict == "SILENT"


def test_another_number_of_features_is_found(tmp_path):
    assert judge(replace(LAYOUTS["parquet_shards"], width=4), tmp_path).verdict == "SILENT"


def test_a_split_that_differs_is_found(tmp_path):
    layout = LAYOUTS["imagefolder_train_val_test"]
    splits = {**layout.splits, "val": layout.splits["test"]}
    assert judge(replace(layout, splits=splits), tmp_path).verdict == "SILENT"


def test_only_what_names_the_thing_concerned_counts_as_said(tmp_path):
    layout = LAYOUTS["hf_metadata_jsonl_captions"]
    (tmp_path / "named").mkdir()
    (tmp_path / "other").mkdir()
    assert judge(layout, tmp_path / "named").verdict == "SAID"
    assert judge(replace(layout, about=("width",)), tmp_path / "other").verdict == "SILENT"
