"""Sort keys of bytes order keys as lists of numbers and text do."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from bitesize.storage.natural import folder_bytes, key_bytes, natural_key, path_key, split_bytes
from bitesize.storage.url import split_key

names = st.text("ab0129./\0é", max_size=12).map(str.encode)


@given(st.lists(names.filter(lambda name: b"/" not in name), max_size=20))
def test_names_are_in_natural_order(found):
    ordered = sorted(found, key=key_bytes)
    assert [natural_key(name) for name in ordered] == sorted(map(natural_key, found))


@given(st.permutations([b"0/1", b"00/0", b"1", b"01", b"001/2", b"a01", b"a1"]))
def test_names_of_the_same_numbers_have_one_order(found):
    assert sorted(found, key=path_key) == sorted(sorted(found, reverse=True), key=path_key) == sorted(found, key=key_bytes)


@given(st.lists(names.filter(lambda name: b"//" not in name and name.strip(b"/") == name), max_size=20))
@example([b"0/1", b"00/0"])
def test_paths_are_in_the_order_of_a_walk(found):
    ordered = sorted(found, key=key_bytes)
    assert [path_key(name) for name in ordered] == sorted(map(path_key, found))


@given(names, names)
def test_different_keys_have_different_sort_keys(one, other):
    assert (key_bytes(one) == key_bytes(other)) == (one == other)


@given(names)
def test_a_folder_is_a_range_of_sort_keys(key):
    folder, _ = split_bytes(key)
    while folder:
        assert key_bytes(key).startswith(folder_bytes(folder))
        folder, _ = split_bytes(folder)


@given(names, names)
def test_no_key_outside_a_folder_is_in_its_range(key, other):
    folder, _ = split_bytes(key)
    if folder and not other.startswith(folder + b"/"):
        assert not key_bytes(other).startswith(folder_bytes(folder))


@given(names.filter(lambda key: key and not key.endswith(b"/")))
def test_keys_are_split_as_addresses_are(key):
    folder, last = split_key(key.decode())
    assert split_bytes(key) == (folder.encode(), last.encode())


def test_numbers_of_any_length_are_compared_by_value():
    found = [b"1", b"9", b"10", b"9" * 300, b"1" + b"0" * 300, b"00002", b"02"]
    assert sorted(found, key=key_bytes) == [b"1", b"00002", b"02", b"9", b"10", b"9" * 300, b"1" + b"0" * 300]
