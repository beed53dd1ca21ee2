"""Every kind of source in a bucket whose server does wrong: faults that pass are not noticed, and others are of their rows only."""

import numpy as np
import pytest

import bitesize as bs
from bitesize.engine.loader import driver_of
from bitesize.sources.registry import installed, kinds
from bitesize.spec import Encoded
from tests.servers import faults
from tests.storage.in_bucket import InBucket, batches, same
from tests.storage.test_reading import IN_MEMORY, both

pytestmark = [pytest.mark.remote, pytest.mark.timeout(120)]
PASSING = [
    faults.slow_down(),
    faults.internal_error(),
    faults.reset(),
    faults.cut(after=20),
    faults.shorter(),
    faults.longer(),
    faults.whole(),
    faults.wrong_range(),
    faults.expired_token(),
]
FINAL = [faults.other_etag(), faults.precondition_failed(), faults.not_found(), faults.access_denied()]
SLOW = {"ZarrFolders": pytest.mark.slow}
KINDS = pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, id=kind.__name__, marks=SLOW.get(kind.__name__, ()))
        for kind in kinds()
        if kind.__name__ not in IN_MEMORY
    ],
)


@pytest.fixture
def place(tmp_path, s3_server, bucket, proxy):
    here = InBucket(tmp_path / "data", s3_server, bucket, proxy.address, timeout="1s", deadline=20.0)
    yield here
    proxy.plan = None
    here.close()


def of_bytes(request):
    """Return whether a request is for bytes: what a wrong size or version in a HEAD would change is the data that was opened."""
    return request.method == "GET" and request.range is not None


def sources(kind, place, monkeypatch):
    if not installed(kind):
        pytest.skip(f"{kind.package} is not installed")
    local, there = both(kind, place, monkeypatch)
    return local, there, {"transforms": [bs.Resize(8)] if isinstance(local.spec[local.primary], Encoded) else []}


@KINDS
def test_faults_that_pass_are_not_noticed(kind, place, proxy, monkeypatch):
    local, there, settings = sources(kind, place, monkeypatch)
    proxy.plan = faults.at_random(0.15, PASSING, 2, of_bytes)
    same(batches(there, 1, **settings, threads=3), batches(local, 1, **settings))


@KINDS
def test_rows_are_right_or_reported(kind, place, proxy, monkeypatch):
    local, there, settings = sources(kind, place, monkeypatch)
    expected = {}
    for rows, values in batches(local, 1, **settings, shuffle=False):
        for i, row in enumerate(rows):
            expected[row] = {name: value[i] for name, value in values.items()}
    proxy.plan = faults.at_random(0.3, FINAL, 4, of_bytes)
    settings |= {"batch_size": 4, "memory": "256 MiB", "threads": 3, "on_error": "skip", "max_bad": 1.0}
    right, bad = 0, {}
    for seed in range(3):
        there.close()
        with bs.Loader(there, **settings, seed=seed, shuffle=seed > 0) as loader:
            for batch in loader:
                for i in np.flatnonzero(batch.mask):
                    right += 1
                    for name, value in expected[int(batch.rows[i])].items():
                        assert np.array_equal(batch[name][i], value), name
            bad |= {row: (f"{path}: {reason}", driver_of(loader).bad_rows.kinds[row]) for row, path, reason in loader.bad}
    assert right or bad
    for said, error in bad.values():
        assert f"{place.root}/" in said
        assert "\n" not in said
        assert error in (bs.FileChanged, bs.NoPermission, bs.RequestFailed), said  # a busy machine may use up the deadline
    proxy.plan = None
    there.close()
    same(batches(there, 1, transforms=settings["transforms"]), batches(local, 1, transforms=settings["transforms"]))


def test_labels_that_cannot_be_read_are_a_fault_of_each_row(place, proxy, monkeypatch):
    kind = next(kind for kind in kinds() if kind.__name__ == "Zarr")
    local, there, settings = sources(kind, place, monkeypatch)
    proxy.plan = faults.where(lambda request: "/y/c/" in request.path, faults.access_denied())
    settings |= {"batch_size": 4, "memory": "256 MiB"}
    with bs.Loader(there, **settings, shuffle=False, on_error="skip", max_bad=1.0) as loader:
        assert not any(batch.mask.any() for batch in loader)
        assert len(loader.bad) == len(local)
    with bs.Loader(there, **settings) as loader, pytest.raises(bs.NoPermission, match="/y/c/"):
        list(loader)
    proxy.plan = None
    same(batches(there, 1), batches(local, 1))
