"""Every kind of source that there is keeps what `Source` promises."""

import pytest

from bitesize.sources.masks import ImagesWithMasks
from bitesize.sources.registry import installed, kinds
from bitesize.testing import check_source


@pytest.mark.parametrize("kind", [*kinds(), ImagesWithMasks], ids=lambda kind: kind.__name__)
def test_each_kind_passes_the_checks_that_any_source_must(kind, tmp_path):
    if not installed(kind):
        pytest.skip(f"{kind.package} is not installed")
    check_source(kind.example(tmp_path, 30))
