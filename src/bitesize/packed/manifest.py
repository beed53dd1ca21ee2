"""`manifest.json` of a store: its splits, the fields of each, and all shards with sizes and checksums. Read as untrusted input."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from bitesize.decode.raw import DTYPES as RAW_DTYPES
from bitesize.errors import BadSetting, BitesizeError, PackedError
from bitesize.files.atomic import write_text
from bitesize.files.stores import MANIFEST, STORE
from bitesize.packed.fields import ShardField
from bitesize.packed.info import (
    SCHEMA,
    ShardInfo,
    check_schema,
    count,
    dtype_from_json,
    dtype_to_json,
    fields_from_json,
    fields_to_json,
    files_from_json,
    files_to_json,
    read_json,
)
from bitesize.spec import Encoded, Field, Pixels, Spec
from bitesize.storage.address import Folder, folder_of

# Splits and shards are folders of these names, so that no manifest leads out of its store.
_NAME = re.compile(r"[A-Za-z0-9_%~-]{1,160}")
_SHARD = re.compile(r"\d{5,9}")
T = TypeVar("T")


@dataclass(frozen=True)
class Skipped:
    """A row that could not be read, and is not in the store: its number in the source, and why."""

    row: int
    reason: str


@dataclass(frozen=True)
class Part:
    """A split of a store, or the whole store.

    Parameters
    ----------
    spec
        Fields of a row, as sources have them.
    fields
        The same fields, as shards hold them; and that of `names`.
    primary, label_name, weight_name, feature_names, classes, classes_of, target_names
        As those of a `Source`.
    names
        Field of the shards with the path of each row in the data that was packed; None if rows had no paths.
    shards
        All shards, in the order of the rows.
    skipped
        Rows of the source that are not in the store.
    made_from
        What the part was made from: ``fingerprint``, ``rows`` and ``kind`` of the source; values of JSON, for information.
    """

    spec: Spec
    fields: Mapping[str, ShardField]
    primary: str
    label_name: str | None
    weight_name: str | None
    feature_names: tuple[str, ...] | None
    classes: tuple[str, ...] | None
    classes_of: Mapping[str, tuple[str, ...]]
    names: str | None = None
    shards: tuple[ShardInfo, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    made_from: Mapping[str, Any] = field(default_factory=dict)
    target_names: tuple[str, ...] | None = None

    @property
    def rows(self) -> int:
        """Number of rows."""
        return sum(shard.rows for shard in self.shards)

    @property
    def nbytes(self) -> int:
        """Bytes of all shards."""
        return sum(file.nbytes for shard in self.shards for file in shard.files.values())


@dataclass(frozen=True)
class Manifest:
    """A packed store.

    Parameters
    ----------
    folder
        Folder of the store.
    made_by
        How the store was made: ``kind``, ``transforms``, ``max_side``, ``quality`` and ``bitesize``, its version.
    parts
        The splits by name; one part with an empty name if the store has no splits.
    """

    folder: Folder
    made_by: Mapping[str, Any]
    parts: Mapping[str, Part]


def valid_split(name: str) -> bool:
    """Return whether a split may have this name, which is that of its folder."""
    return _NAME.fullmatch(name) is not None


def write_manifest(manifest: Manifest) -> None:
    """Write `manifest.json` atomically."""
    value = {
        "format": STORE,
        "schema": SCHEMA,
        "made_by": dict(manifest.made_by),
        "splits": {name: _part_to_json(part) for name, part in manifest.parts.items()},
    }
    write_text(manifest.folder / MANIFEST, json.dumps(value, indent=1) + "\n")


def read_manifest(folder: str | os.PathLike[str]) -> Manifest:
    """Read `manifest.json`. The files of shards are not looked at; see `ShardInfo.check_files`.

    Raises
    ------
    NotFound
        If there is none.
    PackedError
        If it is damaged, of another format or of another version.
    """
    path = folder_of(folder) / MANIFEST
    value = read_json(path)

    def parse() -> Manifest:
        """Return the manifest."""
        if value["format"] != STORE:
            raise PackedError(f"{path} is not of a store of bitesize")
        check_schema(path, value["schema"])
        made_by, splits = value["made_by"], value["splits"]
        if not splits or not isinstance(made_by, dict) or ("" in splits and len(splits) > 1):
            raise ValueError("no splits")
        return Manifest(
            folder_of(folder),
            made_by,
            {name: part_from_json(folder_of(folder), name, each) for name, each in splits.items()},
        )

    return parsed(path, parse)


def parsed(path: Folder, parse: Callable[[], T]) -> T:
    """Return ``parse()``, whose errors say that a file is damaged.

    Raises
    ------
    PackedError
        If it fails.
    """
    try:
        return parse()
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        if isinstance(error, PackedError):
            raise
        why = str(error) if isinstance(error, BitesizeError) else repr(error)
        raise PackedError(f"{path} is damaged: {why}") from error


def _part_to_json(part: Part) -> dict[str, Any]:
    return {
        **description(part),
        "rows": part.rows,
        "shards": [
            {
                "folder": shard.folder.name,
                "rows": shard.rows,
                "bytes": sum(file.nbytes for file in shard.files.values()),
                "files": files_to_json(shard.files),
            }
            for shard in part.shards
        ],
        "skipped": [{"row": each.row, "reason": each.reason} for each in part.skipped],
        "made_from": dict(part.made_from),
    }


def description(part: Part) -> dict[str, Any]:
    """Return the fields of a part and what is known about them, as values of JSON."""
    return {
        "spec": {name: _spec_to_json(each) for name, each in part.spec.items()},
        "fields": fields_to_json(part.fields),
        "primary": part.primary,
        "label": part.label_name,
        "weights": part.weight_name,
        "features": None if part.feature_names is None else list(part.feature_names),
        "classes": None if part.classes is None else list(part.classes),
        "classes_of": {name: list(names) for name, names in part.classes_of.items()},
        "names": part.names,
        # Left out if there are none: older stores have no such key, and their fingerprints stay.
        **({} if part.target_names is None else {"targets": list(part.target_names)}),
    }


def part_from_json(store: Folder, split: str, value: Any) -> Part:
    """Return a part from untrusted values of JSON."""
    if split and not valid_split(split):
        raise ValueError(f"impossible name of a split: {split!r}")
    folder = store / split if split else store
    fields = fields_from_json(value["fields"])
    spec = {name: _spec_from_json(each) for name, each in value["spec"].items()}
    known = {value["primary"]} | ({value["label"], value["weights"]} - {None}) | set(value["classes_of"])
    names = value["names"]
    if names is not None and (names in spec or fields[names].kind != "blob"):
        raise ValueError(f"{names!r} cannot hold names")
    if list(spec) != [name for name in fields if name != names] or not known <= set(spec):
        raise ValueError(f"fields do not agree: {list(spec)}, {list(fields)}, {sorted(map(str, known))}")
    for name in spec:
        _check_agreement(name, spec[name], fields[name])
    shards = tuple(_shard_from_json(folder, fields, each) for each in value["shards"])
    if not shards or sum(shard.rows for shard in shards) != count(value["rows"]):
        raise ValueError(f"the shards have {sum(shard.rows for shard in shards)} rows, not {value['rows']!r}")
    return Part(
        spec,
        fields,
        value["primary"],
        value["label"],
        value["weights"],
        None if value["features"] is None else _texts(value["features"]),
        None if value["classes"] is None else _texts(value["classes"]),
        {name: _texts(each) for name, each in value["classes_of"].items()},
        names,
        shards,
        tuple(Skipped(count(each["row"]), str(each["reason"])) for each in value["skipped"]),
        dict(value["made_from"]),
        _targets_of(value, spec),
    )


def _targets_of(value: Any, spec: Spec) -> tuple[str, ...] | None:
    """Return the names of the numbers that labels are; stores of earlier versions have none."""
    if value.get("targets") is None:
        return None
    names, field = _texts(value["targets"]), spec[value["label"]]
    if not isinstance(field, Field) or len(names) != (field.shape[-1] if field.shape else 1):
        raise ValueError(f"the targets {names} are not those of labels of {field}")
    return names


def _shard_from_json(folder: Folder, fields: Mapping[str, ShardField], value: Any) -> ShardInfo:
    if not isinstance(value["folder"], str) or not _SHARD.fullmatch(value["folder"]):
        raise ValueError(f"impossible name of a shard: {value['folder']!r}")
    files = files_from_json(value["files"], fields)
    return ShardInfo(folder / value["folder"], count(value["rows"], least=1), fields, files)


def _spec_to_json(stored: Field | Encoded) -> dict[str, Any]:
    if isinstance(stored, Encoded):
        value: dict[str, Any] = {"kind": stored.kind, "mode": stored.mode, "orient": stored.orient}
        if stored.mode == "unchanged":  # other modes have their own
            value |= {"channels": stored.channels, "dtype": dtype_to_json(stored.dtype)} | _bands_to_json(stored)
        return value
    axes = {"axes": stored.axes} if stored.axes else {}
    value = {"kind": "array", "shape": list(stored.shape), "dtype": dtype_to_json(stored.dtype), "mask": stored.mask}
    return value | axes | _bands_to_json(stored)


def _bands_to_json(stored: Field | Encoded) -> dict[str, Any]:
    return {"bands": True} if stored.bands else {}  # most have none, and earlier versions wrote none


def _spec_from_json(value: Any) -> Field | Encoded:
    if value["kind"] in ("image", "mask"):
        if value["mode"] == "auto":
            raise ValueError("mode 'auto' is never stored")
        unchanged = value["mode"] == "unchanged"
        pixels = (
            Pixels(count(value["channels"], least=1), dtype_from_json(value["dtype"]).newbyteorder("="))
            if unchanged
            else None
        )
        return Encoded(value["kind"], value["mode"], bool(value["orient"]), pixels, bool(value.get("bands", False)))
    if value["kind"] != "array":
        raise ValueError(f"no kind of a field: {value['kind']!r}")
    shape = tuple(count(side) for side in value["shape"])
    dtype, axes = dtype_from_json(value["dtype"]).newbyteorder("="), str(value.get("axes", ""))
    try:
        return Field(shape, dtype, bool(value["mask"]), axes, bool(value.get("bands", False)))
    except BadSetting as error:
        raise ValueError(str(error)) from None


def _check_agreement(name: str, stored: Field | Encoded, held: ShardField) -> None:
    """Raise ValueError if a shard cannot hold a field."""
    if isinstance(stored, Field):
        fits = held.kind == "fixed" and held.shape == stored.shape and held.dtype == stored.dtype.newbyteorder("<")
    else:
        fits = held.kind == "blob" or (held.kind == "pixels" and held.dtype in RAW_DTYPES)
    if not fits:
        raise ValueError(f"the field {name!r} is {stored}, and its shards hold {held}")


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError(f"no names: {value!r:.100}")
    return tuple(value)
