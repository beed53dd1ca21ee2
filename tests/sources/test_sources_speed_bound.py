"""No kind of data is loaded faster than it can be read and decoded."""

import pytest

import bitesize as bs
from bitesize.cli.bench import bound_of, load_for, measure_bound
from bitesize.sources.registry import installed, kinds
from bitesize.spec import Encoded


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)
def test_no_kind_of_data_is_loaded_faster_than_its_bound(kind, tmp_path):
    if not installed(kind):
        pytest.skip(f"{kind.package} is not installed")
    source = kind.example(tmp_path, 30)
    transforms = [bs.Resize(16)] if isinstance(source.spec[source.primary], Encoded) else []
    with bs.Loader(source, batch_size=8, memory="64 MiB", transforms=transforms, threads=2) as loader:
        load_for(loader, 0.1)
        before = measure_bound(loader, 0.1)
        rate, _ = load_for(loader, 0.2)
        found = bound_of(loader, rate, before, 0.1)
    if found["no_bound"] is None:
        assert 0 < found["share_of_bound"] <= 1
        assert found["bound_rows_per_second"] >= rate
    else:
        assert found["share_of_bound"] is None
        assert found["bound_rows_per_second"] is None
