"""Which split, fields, labels and weights of a packed store are opened, and what it was made from."""

from __future__ import annotations

from dataclasses import replace

from bitesize.errors import BadSetting, NotFound
from bitesize.memory.sizes import counted
from bitesize.packed.manifest import Manifest, Part
from bitesize.sources.base import OpenOptions
from bitesize.sources.choices import Choice
from bitesize.sources.columns import wanted_fields
from bitesize.sources.splits import SplitRequired, split_rank, usual_split
from bitesize.spec import Encoded, Field


def split_of(manifest: Manifest, wanted: str | None) -> str:
    """Return the name of the requested split."""
    names = sorted(manifest.parts, key=split_rank)
    if names == [""]:
        if wanted is not None:
            raise BadSetting(f"split={wanted!r}: {manifest.folder} has no splits")
        return ""
    if wanted is None:
        if len(names) == 1:
            return names[0]
        raise SplitRequired(str(manifest.folder), names)
    if wanted in names:
        return wanted
    fitting = [name for name in names if usual_split(name) is not None and usual_split(name) == usual_split(wanted)]
    if len(fitting) != 1:
        raise NotFound(f"{manifest.folder} has no split {wanted!r}: it has {', '.join(names)}")
    return fitting[0]


def chosen_of(part: Part, options: OpenOptions, where: str) -> dict[str, str]:
    """Return the fields to open: names here, and names in the store."""
    wanted = wanted_fields(options, part.spec)
    if options.labels and options.labels not in wanted and options.labels in part.spec:
        wanted[options.labels] = options.labels
    for stored in wanted.values():
        if stored not in part.spec:
            raise BadSetting(f"{where} has no {stored!r}: it has {', '.join(part.spec)}")
    return wanted


def opened_as(part: Part, name: str, options: OpenOptions) -> Field | Encoded:
    """Return a field with the requested color mode and orientation, if it was packed as files."""
    stored, held = part.spec[name], part.fields[name]
    if not isinstance(stored, Encoded) or stored.kind == "mask":
        return stored
    if held.kind == "blob":
        mode = stored.mode if options.mode == "auto" else options.mode
        return replace(stored, mode=mode, orient=stored.orient and options.orient)
    if options.mode not in ("auto", stored.mode):
        raise BadSetting(
            f"mode={options.mode!r}: the store holds pixels of mode {stored.mode!r}: pack the data again with it"
        )
    return stored


def label_of(part: Part, options: OpenOptions, new_name: dict[str, str]) -> str | None:
    """Return the name of the field with the labels; None if there is none."""
    if options.labels is None:
        return new_name.get(part.label_name or "")
    name = options.labels if options.labels in new_name.values() else new_name.get(options.labels)
    if name is None:
        raise BadSetting(f"labels={options.labels!r}: the fields are {', '.join(part.spec)}")
    return str(name)


def weights_of(part: Part, options: OpenOptions, new_name: dict[str, str]) -> str | None:
    """Return the name of the field with the sample weights that were packed, unless others are requested."""
    # Those that are requested become a field by `open`.
    return new_name.get(part.weight_name or "") if options.weights is None else None


def choices_of(manifest: Manifest, part: Part, label: str | None) -> tuple[Choice, ...]:
    """Return what the store was made from, and which field has the labels."""
    made, source = manifest.made_by, part.made_from
    how = [f"kind {made.get('kind')}"]
    steps = made.get("transforms")
    if isinstance(steps, list) and steps:
        how.append("after " + ", ".join(str(step.get("name")) for step in steps if isinstance(step, dict)))
    if made.get("max_side"):
        how.append(f"longer sides at most {made['max_side']} pixels")
    if source.get("rounded"):
        how.append(f"values rounded to {source['rounded']}")
    of = (
        f" from {counted(source['rows'], 'row')}: {source.get('kind', 'data')}"
        if isinstance(source.get("rows"), int)
        else ""
    )
    said = [Choice(f"packed{of}; {', '.join(how)}", "bitesize.pack")]
    if label is not None:
        said.append(Choice(f"labels: the field {label}, as packed", "labels="))
    return tuple(said)
