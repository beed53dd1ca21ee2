"""A process that opens data of which there is a list on disk: prints the bytes that it takes, of the list and of all rows."""

import sys

import psutil

import bitesize as bs
from bitesize.files.listed import ListedNames
from bitesize.storage.lists import list_folder, listing_as
from bitesize.storage.stores import register_storage
from tests.storage.simulated import SimulatedStorage

folder, classes, images = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
storage = SimulatedStorage("sim://bucket", classes, images)
register_storage("sim", lambda root, options: storage)
bs.open([[1.0]])  # loads what opening needs


def resident():
    return psutil.Process().memory_info().rss


before = resident()
found = list_folder("sim://bucket/photos/", folder=folder)
for i in range(0, len(found), max(1, len(found) // 20_000)):
    entry = found.object(i)
    assert found.entry(entry.key) == entry
    assert entry.key == f"photos/class_{i // images:04d}/img_{i % images:07d}.jpg"
of_list = resident() - before
with listing_as("auto", "sim://bucket/photos/", folder=folder):
    source = bs.open("sim://bucket/photos/")
assert isinstance(source._names, ListedNames)
assert source.path(len(source) - 1) == f"sim://bucket/{found.object(len(found) - 1).key}".encode()
print(len(source), storage.requests, of_list, resident() - before, source.nbytes)
