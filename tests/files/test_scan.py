import os
import sys

import pytest

from bitesize import NotFound
from bitesize.files.names import names_of
from bitesize.files.scan import natural_key, scan

JPG = {".jpg"}
posix = pytest.mark.skipif(sys.platform == "win32", reason="file names and links of POSIX")


def _fill(folder, names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"")


def test_classes_are_folders_by_name_and_files_are_in_natural_order(tmp_path):
    _fill(tmp_path / "dog", ["img10.jpg", "img9.jpg", "img1.JPG"])
    _fill(tmp_path / "cat", ["b.jpg", "a.jpg"])
    found = scan(tmp_path, JPG)
    assert found.classes == ("cat", "dog")
    assert [found.names.relative(i).decode() for i in range(5)] == [
        os.path.join(*parts)
        for parts in [("cat", "a.jpg"), ("cat", "b.jpg"), ("dog", "img1.JPG"), ("dog", "img9.jpg"), ("dog", "img10.jpg")]
    ]
    assert found.labels.tolist() == [0, 0, 1, 1, 1]


def test_numeric_class_names_are_ordered_as_numbers(tmp_path):
    for name in ("10", "9", "2"):
        _fill(tmp_path / name, ["a.jpg"])
    assert scan(tmp_path, JPG).classes == ("2", "9", "10")


def test_a_flat_folder_has_no_classes(tmp_path):
    _fill(tmp_path, ["2.jpg", "1.jpg"])
    found = scan(tmp_path, JPG)
    assert (found.labels, found.classes, len(found.names)) == (None, None, 2)


def test_files_deeper_in_a_class_folder_belong_to_that_class(tmp_path):
    _fill(tmp_path / "cat" / "indoors" / "sofa", ["1.jpg"])
    _fill(tmp_path / "cat", ["0.jpg"])
    _fill(tmp_path / "dog", ["2.jpg"])
    found = scan(tmp_path, JPG)
    assert found.labels.tolist() == [0, 0, 1]
    assert found.names.path(1) == os.fsencode(tmp_path / "cat" / "indoors" / "sofa" / "1.jpg")


def test_what_is_left_out_is_counted_with_its_reason(tmp_path):
    _fill(tmp_path / "cat", ["1.jpg", "._1.jpg", ".DS_Store", "Thumbs.db", "notes.txt"])
    _fill(tmp_path / "dog", ["1.jpg"])
    _fill(tmp_path / ".ipynb_checkpoints", ["1.jpg"])
    _fill(tmp_path, ["stray.jpg"])
    found = scan(tmp_path, JPG)
    assert len(found.names) == 2
    assert found.left_out == {
        "hidden or system files": 4,
        "other files (.txt)": 1,
        "next to the class folders": 1,
    }


def test_an_empty_class_folder_is_an_error_that_names_it(tmp_path):
    _fill(tmp_path / "cat", ["1.jpg"])
    _fill(tmp_path / "dog", ["readme.md"])
    with pytest.raises(NotFound, match=r"class folder .*dog contains no readable file.*other files \(\.md\)"):
        scan(tmp_path, JPG)


@pytest.mark.parametrize("what", ["nowhere", "file", "empty"])
def test_what_is_no_folder_with_data_is_an_error(tmp_path, what):
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFound):
        scan(tmp_path / what, JPG)


@posix
def test_links_are_followed_once_and_loops_end(tmp_path):
    _fill(tmp_path / "elsewhere", ["1.jpg"])
    data = tmp_path / "data"
    _fill(data / "cat", ["0.jpg"])
    (data / "cat" / "more").symlink_to(tmp_path / "elsewhere")
    (data / "cat" / "up").symlink_to(data)
    (data / "cat" / "self").symlink_to(data / "cat")
    _fill(data / "dog", ["2.jpg"])
    (data / "dog" / "link.jpg").symlink_to(tmp_path / "elsewhere" / "1.jpg")
    (data / "dog" / "broken.jpg").symlink_to(tmp_path / "nowhere.jpg")
    found = scan(data, JPG)
    assert found.labels.tolist() == [0, 0, 1, 1]
    assert found.left_out["links to a folder already listed"] == 2
    assert found.left_out["not regular files, or broken links"] == 1


@posix
def test_a_fifo_does_not_hang_the_scan(tmp_path):
    _fill(tmp_path, ["1.jpg"])
    os.mkfifo(tmp_path / "pipe.jpg")
    assert len(scan(tmp_path, JPG).names) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_that_are_no_text_survive(tmp_path):
    name = b"caf\xe9.jpg"
    (tmp_path / os.fsdecode(name)).write_bytes(b"x")
    found = scan(tmp_path, JPG)
    assert found.names.relative(0) == name
    with open(found.names.path(0), "rb") as file:
        assert file.read() == b"x"
    assert found.names.show(0).endswith(r"caf\xe9.jpg")


def test_a_list_of_paths_keeps_its_order():
    paths = ["b/2.jpg", "a/1.jpg", "b/1.jpg", "c.jpg"]
    names = names_of([os.path.join(*path.split("/")) for path in paths])
    assert [names.path(i) for i in range(4)] == [os.fsencode(os.path.abspath(path)) for path in paths]


def test_no_python_object_is_kept_for_a_file(tmp_path):
    _fill(tmp_path, [f"{i:06}.jpg" for i in range(2000)])
    assert scan(tmp_path, JPG).names.nbytes < 2000 * 40


def test_natural_order_is_total_over_odd_names():
    names = [b"a", b"1", b"1a", b"a1", b"01", b"", b"1.2.10", b"1.2.9"]
    assert sorted(names, key=natural_key).index(b"1.2.9") < sorted(names, key=natural_key).index(b"1.2.10")
