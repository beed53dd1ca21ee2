import io
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tests.files.door import choose_door
from tests.properties import examples

import bitesize as bs
from bitesize.errors import BadFile
from bitesize.files import npy, pread
from bitesize.files.npy import read_header, read_payload


@pytest.fixture(params=["compiled", "preadv", "seek and read"], autouse=True)
def door(request, monkeypatch):
    """Everything here runs in three ways: by compiled code, with preadv from Python, and as on Windows."""
    choose_door(request.param, monkeypatch)


def _load(path):
    name = os.fsencode(path)
    fd = pread.open_file(name)
    try:
        header = read_header(fd, name)
        out = np.empty(header.shape, header.dtype.newbyteorder("="))
        read_payload(fd, header, out, name)
    finally:
        os.close(fd)
    return out


@examples(60)
@given(
    array=hnp.arrays(
        st.sampled_from(["<f8", ">f8", "<f4", ">i2", "u1", "?", "<f2", "<c8", ">u8"]),
        hnp.array_shapes(min_dims=0, max_dims=4, max_side=6),
    ),
    fortran=st.booleans(),
    version=st.sampled_from([(1, 0), (2, 0), (3, 0)]),
)
def test_any_plain_array_is_read_as_numpy_reads_it(tmp_path_factory, array, fortran, version):
    path = tmp_path_factory.mktemp("npy") / "a.npy"
    with open(path, "wb") as file:
        np.lib.format.write_array(file, np.asarray(array, order="F" if fortran else "C"), version)
    np.testing.assert_array_equal(_load(path), np.load(path))


def _bytes_of(array):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, allow_pickle=True)
    return stream.getvalue()


def _header(text):
    body = text.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(body).to_bytes(2, "little") + body


@pytest.mark.parametrize(
    "contents",
    [
        b"",
        b"hello",
        b"\x93NUMPY\x09\x00",
        _bytes_of(np.array([{"a": 1}], dtype=object)),
        _bytes_of(np.zeros(3, dtype=[("a", "f4")])),
        _bytes_of(np.zeros(10))[:-1],
        _bytes_of(np.zeros(10)) + b"x",
        _header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,)}"),
        _header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}"),
        _header("{'descr': '<f8', 'fortran_order': False, 'shape': (True,)}") + b"\0" * 8,
        _header("{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296)}"),
        _header("{'descr': '<f8', 'fortran_order': False, 'shape': " + repr((1,) * 65) + "}") + b"\0" * 8,
        _header("{'descr': '<f8', 'fortran_order': False, 'shape': (1,), 'x': '" + "a" * 20_000 + "'}"),
        _header("__import__('os').system('true')"),
    ],
    ids=range(14),
)
def test_whatever_else_is_one_typed_error_that_names_the_file(tmp_path, contents):
    path = tmp_path / "odd.npy"
    path.write_bytes(contents)
    with pytest.raises(BadFile, match=r"odd\.npy"):
        _load(path)


def test_a_large_file_without_rows_of_its_own_is_refused(tmp_path):
    np.save(tmp_path / "scalar.npy", np.float64(3))
    np.save(tmp_path / "fortran.npy", np.asfortranarray(np.zeros((4, 5))))
    with pytest.raises(BadFile, match="single value"):
        bs.open(tmp_path / "scalar.npy")
    with pytest.raises(BadFile, match="Fortran"):
        bs.open(tmp_path / "fortran.npy")


def test_the_header_cap_is_numpys_own():
    assert npy.MAX_HEADER == 10_000


def test_a_parser_that_another_thread_disturbed_is_asked_again(tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", np.arange(6).reshape(2, 3))
    parse, failures = npy.npy_format.read_array_header_1_0, [SystemError("AST constructor recursion depth mismatch")] * 2

    def disturbed(stream, **options):
        found = parse(stream, **options)
        if failures:
            raise failures.pop()  # behind the header: it is to be read from its start again
        return found

    monkeypatch.setattr(npy.npy_format, "read_array_header_1_0", disturbed)
    assert _load(tmp_path / "x.npy").tolist() == [[0, 1, 2], [3, 4, 5]]
    assert not failures
