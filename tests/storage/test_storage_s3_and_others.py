"""The same data from every kind of server is the same."""

import json
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

import bitesize as bs
from bitesize.storage import stores
from tests.storage.in_bucket import batches, same

pytestmark = [pytest.mark.remote, pytest.mark.timeout(120), pytest.mark.usefixtures("runtime_of_obstore")]
ROWS = 12
SERVERS = ["s3", "gcs", "azure", "web", "web without ranges"]


@pytest.fixture
def folder(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    folder = tmp_path / "data"
    folder.mkdir()
    for i in range(ROWS):
        pixels = np.random.default_rng(i).integers(0, 256, (20 + i % 4, 18, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"photo {i}.png")
    np.save(folder / "x.npy", np.random.default_rng(0).random((ROWS, 6, 5), np.float32))
    columns = {
        "a": np.arange(ROWS),
        "b": np.random.default_rng(1).random(ROWS),
        "y": [f"class {i % 3}" for i in range(ROWS)],
    }
    pq.write_table(pa.table(columns), folder / "t.parquet", row_group_size=5)
    return folder


@pytest.fixture(params=SERVERS)
def root(request, folder):
    """Put the files on a server, and return their address."""
    name, files = request.param, sorted(folder.iterdir())
    if name in ("s3", "gcs", "azure"):
        server = request.getfixturevalue(f"{name}_server")
        where = server.make_container() if name == "azure" else server.make_bucket()

        def put(key, data):
            server.put(where, key, data)

        root = f"{ {'s3': 's3', 'gcs': 'gs', 'azure': 'az'}[name] }://{where}"
    else:
        server = request.getfixturevalue("http_server" if name == "web" else "http_server_without_ranges")

        def put(key, data):
            (server.folder / key).write_bytes(data)

        root = server.url
    for path in files:
        put(path.name, path.read_bytes())
    names = [quote(path.name) if name.startswith("web") else path.name for path in files if path.suffix == ".png"]
    put("table.csv", "\n".join(["image,label", *(f"{root}/{each},{i % 2}" for i, each in enumerate(names))]).encode())
    local = [str(path) for path in files if path.suffix == ".png"]
    put("names.csv", "\n".join(["image,label", *(f"{each},{i % 2}" for i, each in enumerate(names))]).encode())
    (folder / "table.csv").write_text("\n".join(["image,label", *(f"{each},{i % 2}" for i, each in enumerate(local))]))
    document = {
        "images": [
            {"id": i, "file_name": Path(each).name, "width": 18, "height": 20 + i % 4} for i, each in enumerate(local)
        ],
        "annotations": [{"id": i, "image_id": i, "category_id": 1, "bbox": [1, 2, 5, 6]} for i in range(ROWS)],
        "categories": [{"id": 1, "name": "cat"}],
    }
    (folder / "coco.json").write_text(json.dumps(document))
    for each, image in zip(document["images"], names, strict=True):
        each["file_name"] = image
    put("coco.json", json.dumps(document).encode())
    stores.configure(root, {**server.options(), "pool_idle_timeout": "100ms"})
    yield root, local, [f"{root}/{each}" for each in names]
    stores._storages.pop(root, None)


def test_arrays_images_tables_and_parquet(root, folder):
    root, local, there = root
    steps = {"transforms": [bs.RandomResizedCrop(8), bs.Flip()], "seed": 2}
    same(
        batches(bs.open(f"{root}/x.npy", file_is_row=False), threads=3),
        batches(bs.open(folder / "x.npy", file_is_row=False)),
    )
    same(batches(bs.open(there), **steps, threads=3), batches(bs.open(local), **steps))
    same(batches(bs.open(f"{root}/table.csv"), **steps, threads=3), batches(bs.open(folder / "table.csv"), **steps))
    same(batches(bs.open(f"{root}/names.csv"), **steps, threads=3), batches(bs.open(folder / "table.csv"), **steps))
    steps = {"transforms": [bs.Resize(8)], "seed": 2}
    same(batches(bs.open(f"{root}/coco.json"), **steps, threads=3), batches(bs.open(folder / "coco.json"), **steps))
    same(batches(bs.open(f"{root}/t.parquet"), threads=3), batches(bs.open(folder / "t.parquet")))
