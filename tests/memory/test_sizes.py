import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitesize.errors import BadSetting
from bitesize.memory.sizes import format_size, parse_size


@pytest.mark.parametrize(
    ("text", "nbytes"),
    [
        ("1", 1),
        ("512 MiB", 512 << 20),
        ("512MiB", 512 << 20),
        ("2GB", 2 * 1000**3),
        ("0.5 kb", 500),
        (" 1 TiB ", 1 << 40),
        (7, 7),
    ],
)
def test_sizes_are_read_as_their_standards_define_them(text, nbytes):
    assert parse_size(text) == nbytes


@pytest.mark.parametrize("text", ["", "many", "12 parsecs", "-1 MiB", "0", 0, -5, True, None, 1.5, "1e3"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(BadSetting):
        parse_size(text)


@given(st.integers(1, 1 << 55))
def test_a_size_rounded_up_is_never_read_back_as_less(nbytes):
    assert parse_size(format_size(nbytes, ceil=True)) >= nbytes


def test_the_tutorials_error_reads_as_numpy_writes_it():
    assert format_size(9000 * 224 * 224 * 3 * 8) == "10.1 GiB"
