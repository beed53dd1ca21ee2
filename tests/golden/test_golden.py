"""What earlier versions gave, this one gives: orders, batches, fingerprints, states, indexes, runs.

The files in ``v1`` are never recorded again. Where a test fails, the change breaks runs, checkpoints or results that people have.
The files in ``v2`` replace single entries that a later version changed on purpose.
"""

import json
import platform
import shutil
import warnings

import numpy as np
import pytest

import bitesize as bs
from bitesize.files.tar_index import SUFFIX
from bitesize.transforms.base import from_dict
from tests.golden.data import HERE, LATER, write_tar
from tests.golden.runs import COMMAND, predictions, within, write_table
from tests.golden.values import (
    loader_to_continue,
    loader_values,
    order_values,
    orders,
    rest,
    saved_transforms,
    source_values,
    transform_values,
    transforms,
)

# Floating-point kernels fuse products and sums as the processor can: other families may differ in the last bit.
exact = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="recorded on x86-64")


def golden(name):
    """Return what the first version gave, with what later versions changed on purpose."""
    recorded = json.loads((HERE / name).read_text())
    if (LATER / name).exists():
        for entry, changed in json.loads((LATER / name).read_text()).items():
            recorded[entry] |= changed
    return recorded


def plain(values):
    """Return values as JSON gives them back."""
    return json.loads(json.dumps(values))


def test_orders():
    found = plain(dict(order_values()))
    recorded = golden("orders.json")
    assert found.keys() == recorded.keys() == {*orders(), "2**62 rows"}
    for name, values in recorded.items():
        assert found[name] == values, name


@exact
def test_loaders_with_ranks_orders_types_and_layouts():
    assert plain(dict(loader_values())) == golden("loaders.json")


@pytest.fixture(scope="module")
def found_in_sources(tmp_path_factory):
    """Open every source once a module: some packages start a thread of their own at the first, which keeps descriptors."""
    return plain(dict(source_values(tmp_path_factory.mktemp("sources"))))


@exact
def test_batches_and_fingerprints_of_every_source(found_in_sources):
    for name, values in golden("sources.json").items():
        assert found_in_sources[name] == values, name


@exact
def test_batches_of_every_transform(tmp_path):
    found = plain(dict(transform_values(tmp_path)))
    recorded = golden("transforms.json")
    assert found.keys() == recorded.keys() == transforms().keys()
    for name, values in recorded.items():
        assert found[name] == values, name


@pytest.mark.parametrize("name", ["sources.json", "transforms.json"])
def test_only_images_that_are_resampled_changed_since_the_first_version(name):
    before, later = (json.loads((folder / name).read_text()) for folder in (HERE, LATER))
    for entry, changed in later.items():
        assert set(changed) <= {"batches", "uint8", "photographs", "masks", "float32"}
        assert all(before[entry][kind] != value for kind, value in changed.items())


def test_saved_transforms_load():
    made = [from_dict(settings) for settings in golden("saved_transforms.json")]
    assert [step.to_dict() for step in made] == saved_transforms()


def test_a_loader_continues_from_a_saved_state():
    recorded = golden("state_dict.json")
    with loader_to_continue() as loader:
        loader.load_state_dict(recorded["state"])
        assert rest(loader) == recorded["rest"]
        assert rest(loader) == recorded["next epoch"]


def test_the_index_of_a_tar_file_is_used_as_it_is_and_made_again_the_same(tmp_path):
    shard = write_tar(tmp_path / "shard.tar")
    recorded = HERE / f"shard.tar{SUFFIX}"
    index = tmp_path / f"shard.tar{SUFFIX}"
    bs.open(shard)
    assert index.read_bytes() == recorded.read_bytes()
    shutil.copyfile(recorded, index)
    before = index.stat().st_mtime_ns
    assert len(bs.open(shard)) == 24
    assert index.stat().st_mtime_ns == before


@pytest.fixture(scope="module")
def longer(tmp_path_factory):
    """Train the run for two more epochs, once a module: what a framework starts keeps descriptors."""
    pytest.importorskip("keras")
    from bitesize.cli.app import app

    home = tmp_path_factory.mktemp("longer")
    shutil.copytree(HERE / "run", home / "run")
    write_table(home)
    with within(home), warnings.catch_warnings():
        warnings.simplefilter("default")  # new versions of JAX warn about calls that Keras makes
        app(["train", *COMMAND[1:4], "--resume", "--epochs", "4", "--out", "run"], standalone_mode=False)
    return home / "run"


def test_a_run_predicts(longer):
    np.testing.assert_allclose(predictions(HERE / "run"), golden("run_predictions.json"), atol=1e-4)


def test_a_run_is_trained_longer_from_its_checkpoint(longer):
    recorded, continued = (json.loads((run / "summary.json").read_text())["epochs"] for run in (HERE / "run", longer))
    assert [line["epoch"] for line in continued] == [1, 2, 3, 4]
    assert continued[:2] == recorded
