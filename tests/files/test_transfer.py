"""Files are copied whole to every kind of server, and lists of objects agree with what was written."""

import pytest
from tests.buckets import make_bucket

import bitesize as bs
from bitesize.files.transfer import download, objects_below, remove, replacing_at, same, upload
from bitesize.storage import stores
from bitesize.storage.stores import configure


def flat(options):
    """Return options of a server as bitesize takes them."""
    return {name: value for name, value in options.items() if name != "client_options"} | options.get("client_options", {})


@pytest.fixture(
    scope="module",
    params=[
        "disk",
        pytest.param("s3", marks=pytest.mark.remote),
        pytest.param("gs", marks=pytest.mark.remote),
        pytest.param("az", marks=pytest.mark.remote),
    ],
)
def server(request):
    """Return a scheme and its server, which is started before descriptors are counted."""
    name = {"s3": "s3_server", "gs": "gcs_server", "az": "azure_server"}.get(request.param)
    return request.param, None if name is None else request.getfixturevalue(name)


@pytest.fixture
def address(server, tmp_path, monkeypatch):
    """Return the address of an empty folder of each kind."""
    scheme, running = server
    monkeypatch.setattr(stores, "_storages", {})  # with their connections, which end with the test
    if running is None:
        make_bucket(tmp_path / "bucket")
        return "disk://bucket/outputs"
    name = running.make_container() if scheme == "az" else running.make_bucket()
    configure(f"{scheme}://{name}", flat(running.options()))
    return f"{scheme}://{name}/outputs"


@pytest.mark.parametrize("nbytes", [0, 1000, 20_000_000])
def test_a_file_comes_back_as_it_was(address, tmp_path, nbytes):
    content = bytes(range(250)) * (nbytes // 250)
    (tmp_path / "file.bin").write_bytes(content)
    written = upload(tmp_path / "file.bin", f"{address}/runs/first/file.bin")
    there = objects_below(f"{address}/runs/")
    assert list(there) == ["first/file.bin"]
    assert same(written, there["first/file.bin"])
    download(f"{address}/runs/first/file.bin", there["first/file.bin"], tmp_path / "again" / "file.bin")
    assert (tmp_path / "again" / "file.bin").read_bytes() == content
    (tmp_path / "file.bin").write_bytes(b"other")
    assert not same(upload(tmp_path / "file.bin", f"{address}/runs/first/file.bin"), written)
    if nbytes:
        with pytest.raises((bs.FileChanged, bs.BadFile)):
            download(f"{address}/runs/first/file.bin", there["first/file.bin"], tmp_path / "third")
        assert not (tmp_path / "third").exists()
    remove(f"{address}/runs/first/file.bin")
    remove(f"{address}/runs/first/file.bin")
    assert objects_below(address) == {}


def test_an_output_is_there_when_it_is_complete(address):
    with pytest.raises(KeyError), replacing_at(f"{address}/a.csv") as temporary:
        temporary.write_text("half")
        raise KeyError
    assert objects_below(address) == {}
    with replacing_at(f"{address}/a.csv") as temporary:
        temporary.write_text("whole")
        assert temporary.suffix == ".csv"
        assert objects_below(address) == {}
    assert objects_below(address)["a.csv"].size == 5
    assert not temporary.exists()


def test_an_output_without_room_on_the_disk_is_refused_before_work(address):
    with pytest.raises(bs.DiskFull, match="needs about"), replacing_at(f"{address}/a.csv", 1 << 60):
        raise AssertionError
