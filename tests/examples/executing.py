"""Execute notebooks in a fresh kernel: to test them, or to write their outputs again.

python -m tests.examples.executing examples/keras.ipynb ...                writes the outputs into the notebooks
python -m tests.examples.executing --out FOLDER examples/keras.ipynb ...   writes executed copies into a folder
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def execute(path: Path, out: Path) -> None:
    """Execute a notebook in an empty folder, and write it without what differs from machine to machine."""
    book = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        settings = {"timeout": 280, "kernel_name": "python3", "record_timing": False, "coalesce_streams": True}
        NotebookClient(book, resources={"metadata": {"path": folder}}, **settings).execute()
    book.metadata = nbformat.from_dict(_METADATA)
    nbformat.write(book, out / path.name)


def main() -> None:
    """Execute the notebooks that are named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    # TensorFlow's lines about the processor, which differ.
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}
    for path in options.notebooks:
        execute(path, options.out or path.parent)


if __name__ == "__main__":
    main()
