"""Finding the mask of each image, by their names."""

from __future__ import annotations

import re
from collections.abc import Mapping

from bitesize.errors import NotFound
from bitesize.files.names import Names, NamesBuilder, stem_of

# Suffixes of mask names after the name of the image.
_END = re.compile(
    rb"[-_](?:gtfine_labelids|gtcoarse_labelids|mask|masks|seg|segmentation|label|labels|labelids|gt|groundtruth|l)$",
    re.IGNORECASE,
)
# The last is the number of the channel of nnU-Net.
_IMAGE_END = re.compile(rb"[-_](?:image|img|leftimg8bit|rgb|0000)$", re.IGNORECASE)


def pair_masks(names: Names, masks: Names, left_out: Mapping[str, int] | None) -> tuple[Names, dict[str, int]]:
    """Return the mask of each image, and what was left out, with masks without an image.

    Parameters
    ----------
    names
        The images.
    masks
        Masks, in any order: their paths equal those of the images except for root and suffix.
    left_out
        What the scan left out.

    Raises
    ------
    NotFound
        If an image has no mask.
    """
    numbers = {stem_of(masks.relative(i)): i for i in range(len(masks))}
    numbers = {_END.sub(b"", stem): i for stem, i in numbers.items()} | numbers
    chosen, missing = [], []
    for i in range(len(names)):
        stem = stem_of(names.relative(i))
        number = numbers.get(stem, numbers.get(_IMAGE_END.sub(b"", stem)))
        if number is None:
            missing.append(names.show(i))
        else:
            chosen.append(number)
    if missing:
        first = ", ".join(missing[:10])
        raise NotFound(f"{len(missing)} of {len(names)} images have no mask of the same name: {first}")
    builder = NamesBuilder(masks.root)
    for number in chosen:
        folder, name = masks.parts(number)
        builder.add(folder, (name,))
    unused = len(masks) - len(set(chosen))
    return builder.build(), {**(left_out or {}), **({"masks without an image": unused} if unused else {})}
