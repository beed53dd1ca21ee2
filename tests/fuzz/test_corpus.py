"""What fuzzing found stays mended, and good files are still read."""

from pathlib import Path

import pytest

from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS, survives

FOUND = sorted(path for path in (Path(__file__).parent / "corpus").rglob("*") if path.is_file())


@pytest.mark.parametrize("path", FOUND, ids=lambda path: f"{path.parent.name}-{path.name[:8]}")
def test_what_was_found_is_refused_with_an_error_of_ours(path):
    survives(path.parent.name, path.read_bytes())


@pytest.mark.filterwarnings("ignore::UserWarning")  # of Pillow, about odd metadata
@pytest.mark.parametrize("target", TARGETS)
def test_each_target_reads_good_files(target):
    assert survives(target, seeds(target)[0])
    assert all(survives(target, data) for data in seeds(target)) or target not in ("parquet_pages", "chunk")
    assert survives(target, b"") == (target in ("tar_index", "parquet_pages"))  # made anew; no pages


@pytest.mark.filterwarnings("ignore::UserWarning")  # of pydicom, about odd metadata
@pytest.mark.parametrize(
    "target",
    ["npy", "npz", "image", "tiff", "snapshot", "chunk", "parquet_metadata", "manifest", "shard_json", "nifti", "dicom"],
)
def test_a_file_that_is_cut_off_anywhere_is_refused(target):
    good = seeds(target)[0]
    assert not any(survives(target, good[:end]) for end in range(0, len(good), max(1, len(good) // 60)))
