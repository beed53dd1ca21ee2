"""Files with a marker that can be read from their content, and what batches hold of them."""

import numpy as np
from PIL import Image

import bitesize as bs


def image(path, marker, mode="RGB"):
    """Write an image of one gray level."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (8, 8), marker if mode == "L" else (marker,) * 3).save(path)
    return str(path)


def array(path, marker, shape=(4, 4)):
    """Write an array of one value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.full(shape, marker, np.float32))
    return str(path)


def labels_by_marker(source):
    """Read all rows; the label of each by its marker, class names for numbers."""
    found = {}
    label = source.label_name
    with bs.Loader(source, batch_size=4, memory="64 MiB", shuffle=False) as loader:
        for batch in loader:
            markers = batch[source.primary].reshape(len(batch.rows), -1)[:, 0]
            for i, marker in enumerate(markers.tolist()):
                value = None if label is None else batch[label][i]
                if value is not None and source.classes is not None and np.ndim(value) == 0:
                    value = source.classes[int(value)]
                found[int(marker)] = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
    return found


def said(source):
    """Return what the source says of itself, as one text."""
    return " | ".join([*map(str, source.choices), *source.left_out])
