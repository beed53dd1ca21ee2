"""A process that lists: ``python lister.py address folder classes images seconds counter [start]``; prints the fingerprint."""

import sys
import time

from bitesize.storage.lists import list_folder
from bitesize.storage.stores import register_storage
from tests.storage.simulated import SimulatedStorage

address, folder, classes, images, seconds, counter = sys.argv[1:7]
register_storage(
    "sim", lambda root, options: SimulatedStorage(root, int(classes), int(images), seconds=float(seconds), counter=counter)
)
print("ready", flush=True)
if len(sys.argv) > 7:
    while time.time() < float(sys.argv[7]):
        time.sleep(0.01)
found = list_folder(address, folder=folder)
print(found.fingerprint, len(found), found.made_new)
