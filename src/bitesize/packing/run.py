"""One run of `pack`: plan, keep what an earlier run has finished, pack the rest, write the manifest."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import xxhash

from bitesize._version import __version__
from bitesize.errors import BadSetting, DiskFull, PackedError
from bitesize.files.stores import MANIFEST, PACKING, is_store, is_unfinished
from bitesize.memory.budget import Budget
from bitesize.memory.sizes import counted, format_size
from bitesize.packed.info import count
from bitesize.packed.manifest import Manifest, Part, parsed, read_manifest, write_manifest
from bitesize.packed.shard import verify
from bitesize.packed.state import read_packing, write_packing
from bitesize.packing.destination import Destination
from bitesize.packing.plan import PartPlan, plan_part
from bitesize.packing.report import PackReport
from bitesize.packing.settings import PackSettings
from bitesize.packing.work import Due, PackedShard, Packer, PartWork, pack_by_threads
from bitesize.sources.base import Source

_log = logging.getLogger("bitesize.pack")

Progress = Callable[[int, int], None]


class PackRun:
    """One run of `pack`, in a folder that is locked.

    Parameters
    ----------
    destination
        Where the store is packed.
    parts
        Sources by split.
    settings
        Settings of the user.
    budget
        Budget for all memory.
    progress
        Called with the number of rows done and the total number of rows.
    packer
        What packs the shards.
    """

    def __init__(
        self,
        destination: Destination,
        parts: Mapping[str, Source],
        settings: PackSettings,
        budget: Budget,
        progress: Progress | None,
        packer: Packer = pack_by_threads,
    ) -> None:
        self._destination, self._folder, self._final = destination, destination.folder, destination.final
        self._parts, self._asked, self._settings = parts, settings, settings
        self._budget, self._progress, self._packer = budget, progress, packer
        self._done, self._total = 0, sum(map(len, parts.values()))
        self._notes: list[str] = []
        self._record = {
            "asked": settings.recorded(),
            "parts": {name: {"fingerprint": part.fingerprint(), "rows": len(part)} for name, part in parts.items()},
        }

    def run(self, verify_all: bool, begun: float) -> PackReport:
        """Pack, or continue, or find that all is done."""
        self._destination.begin()
        for part in self._parts.values():
            part.check_unchanged()
        known: Mapping[str, Any] = {}
        if is_store(self._folder):
            manifest = read_manifest(self._folder)
            recorded = manifest.made_by.get("record", {})
            self._refuse_other(recorded, f"{self._final} is a complete store")
            known = _known(self._folder / MANIFEST, manifest.made_by.get("plan"), self._parts)
        elif is_unfinished(self._folder):
            recorded = read_packing(self._folder)
            self._refuse_other(recorded.get("record", {}), f"{self._final} was begun")
            if recorded.get("bitesize") != __version__:
                raise PackedError(
                    f"{self._final} was begun by bitesize {recorded.get('bitesize')}: remove it, and pack again"
                )
            known = _known(self._folder / PACKING, recorded.get("plan"), self._parts)
        elif not self._destination.is_empty():
            raise BadSetting(f"{self._final} is not empty, and holds no packed store: choose another folder")
        plans = self._plans(known)
        works = {name: self._work(name, plan) for name, plan in plans.items()}
        if is_store(self._folder):
            return self._complete(works, verify_all, begun)
        return self._pack(works, verify_all, begun)

    def _refuse_other(self, recorded: Mapping[str, Any], there: str) -> None:
        differences = _differences(recorded, self._record)
        if differences:
            raise PackedError(f"{there}, but differs: {'; '.join(differences)}. Choose another folder, or remove it")

    def _plans(self, known: Mapping[str, Any]) -> dict[str, PartPlan]:
        """Plan all splits; the largest decides what kind="auto" means."""
        free = shutil.disk_usage(self._folder).free if self._destination.keeps else None
        plans = dict[str, PartPlan]()
        for name in sorted(self._parts, key=lambda name: -len(self._parts[name])):
            part = self._parts[name]
            share = None if free is None else free * len(part) // max(1, self._total)
            plan = plan_part(part, self._settings, self._budget, share, known.get(name))
            if self._settings.kind == "auto" and not self._settings.transforms:
                self._settings = replace(self._settings, kind=plan.kind)  # type: ignore[arg-type]
            plans[name] = plan
            for note in plan.notes:
                self._note(note)
        return {name: plans[name] for name in self._parts}

    def _work(self, name: str, plan: PartPlan) -> PartWork:
        key = xxhash.xxh3_128_hexdigest(
            json.dumps([self._record, name, plan.rows_per_shard, plan.kind, __version__]).encode()
        )
        return PartWork(plan, self._destination, name, self._settings, key)

    def _pack(self, works: Mapping[str, PartWork], verify_all: bool, begun: float) -> PackReport:
        plan = {name: _plan_to_json(work.plan) for name, work in works.items()}
        kept = {name: self._kept(work) for name, work in works.items()}
        self._check_disk(works, kept)
        write_packing(self._folder, {"record": self._record, "plan": plan, "bitesize": __version__})
        self._destination.add(PACKING)
        done = self._pack_shards(works, kept)
        for part in self._parts.values():
            part.check_unchanged()
        made_by = {
            **self._asked.recorded(), "kind": next(iter(works.values())).plan.kind, "bitesize": __version__,
            "on_error": self._asked.on_error, "record": self._record, "plan": plan,
        }  # fmt: skip
        parts = {name: _part(work.plan, done[name]) for name, work in works.items()}
        manifest = Manifest(self._folder, made_by, parts)
        write_manifest(manifest)
        self._destination.add(MANIFEST)
        self._destination.remove(PACKING)
        return self._report(manifest, sum(map(len, kept.values())), verify_all, begun)

    def _kept(self, work: PartWork) -> dict[int, PackedShard]:
        """Return the shards that an earlier run has finished, and remove what is of no use."""
        work.remove_partials()
        kept = {number: shard for number in range(work.plan.shards) if (shard := work.kept(number)) is not None}
        if not work.comparable:
            self._note(
                "values in memory cannot be compared with those of an earlier run: an interrupted packing starts again"
            )
        return kept

    def _check_disk(self, works: Mapping[str, PartWork], kept: Mapping[str, Mapping[int, PackedShard]]) -> None:
        free = shutil.disk_usage(self._folder).free
        if self._destination.keeps:
            need = sum(work.plan.nbytes for work in works.values())
            need -= sum(shard.info.nbytes for each in kept.values() for shard in each.values() if shard.info is not None)
        else:  # splits are packed one after another, and each thread has one shard
            threads = self._settings.threads or os.cpu_count() or 1
            need = max(
                work.plan.nbytes // work.plan.shards * min(threads, work.plan.shards - len(kept[name]))
                for name, work in works.items()
            )
        if need > free:
            raise DiskFull(
                f"packing needs about {format_size(need)}, but the disk of {self._folder} has {format_size(free)} free: free some space, "
                'choose a folder on another disk, or store less with max_side= or kind="bytes"'
            )
        self._note(f"disk: about {format_size(max(0, need))} of {format_size(free)} free")

    def _pack_shards(
        self, works: Mapping[str, PartWork], kept: Mapping[str, Mapping[int, PackedShard]]
    ) -> dict[str, list[PackedShard]]:  # fmt: skip
        """Pack the shards that are missing; return all, in order."""
        due = dict[str, Due]()
        for name, work in works.items():
            work.folder.mkdir(exist_ok=True)
            self._advance(sum(stop - start for start, stop in map(work.plan.rows_of, kept[name])))
            numbers = [number for number in range(work.plan.shards) if number not in kept[name]]
            due[name] = Due(work, numbers, sum(len(shard.skipped) for shard in kept[name].values()))
        try:
            new = self._packer(due, self._budget, self._advance) if any(each.numbers for each in due.values()) else {}
        except DiskFull as error:
            raise DiskFull(f"{error}. Finished shards stay: free some space and pack again, which continues") from error
        shards = {name: [*kept[name].values(), *new.get(name, ())] for name in works}
        return {name: sorted(each, key=lambda shard: shard.number) for name, each in shards.items()}

    def _advance(self, rows: int) -> None:
        self._done += rows
        if self._progress is not None and rows:
            self._progress(self._done, self._total)

    def _complete(self, works: Mapping[str, PartWork], verify_all: bool, begun: float) -> PackReport:
        """Check that a complete store is still that of the data."""
        manifest = read_manifest(self._folder)
        self._destination.remove(PACKING)
        for name, work in works.items():
            changed = work.changed_since(manifest.parts[name].shards)
            if changed is not None:
                raise PackedError(
                    f"{self._final} is a complete store, but files of rows {changed[0]:,} to {changed[1] - 1:,} have changed since: choose "
                    "another folder, or remove it"
                )
        self._note("the store was complete: nothing was packed")
        self._advance(self._total)
        return self._report(manifest, sum(len(part.shards) for part in manifest.parts.values()), verify_all, begun)

    def _note(self, text: str) -> None:
        if text not in self._notes:
            self._notes.append(text)
            _log.info("%s", text)

    def _report(self, manifest: Manifest, kept: int, verify_all: bool, begun: float) -> PackReport:
        if verify_all:
            for part in read_manifest(self._final).parts.values():
                for shard in part.shards:
                    verify(shard)
        skipped = {name: part.skipped for name, part in manifest.parts.items() if part.skipped}
        for name, rows in skipped.items():
            of = f" of {name}" if name else ""
            self._note(f"{counted(len(rows), 'row')}{of} could not be read and left out; the first: {rows[0].reason}")
        return PackReport(
            path=self._final,
            kind=str(manifest.made_by["kind"]),
            rows={name: part.rows for name, part in manifest.parts.items()},
            shards=sum(len(part.shards) for part in manifest.parts.values()),
            nbytes=sum(part.nbytes for part in manifest.parts.values()),
            kept=kept,
            skipped=skipped,
            notes=tuple(self._notes),
            seconds=time.perf_counter() - begun,
            peak_nbytes=self._budget.peak,
        )


def _part(plan: PartPlan, shards: Sequence[PackedShard]) -> Part:
    source = plan.source
    infos = tuple(shard.info for shard in shards if shard.info is not None)
    if not infos:
        raise PackedError(f"no row of {source!r} could be read")
    return Part(
        spec=plan.spec,
        fields=plan.fields,
        primary=source.primary,
        label_name=source.label_name,
        weight_name=source.weight_name,
        feature_names=source.feature_names,
        classes=source.classes,
        classes_of=source.classes_of,
        target_names=source.target_names,
        names=plan.names,
        shards=infos,
        skipped=tuple(row for shard in shards for row in shard.skipped),
        made_from={
            "fingerprint": source.fingerprint(),
            "rows": len(source),
            "kind": source.title or type(source).__name__,
            "rounded": plan.rounded,
        },
    )


def _plan_to_json(plan: PartPlan) -> dict[str, Any]:
    fields = {name: field.kind for name, field in plan.fields.items()}
    return {"kind": plan.kind, "rows_per_shard": plan.rows_per_shard, "fields": fields}


def _known(path: Path, plans: Any, parts: Iterable[str]) -> dict[str, Any]:
    """Return how each split was packed, from untrusted values of JSON."""
    return parsed(path, lambda: {name: _plan_from_json(plans[name]) for name in parts})


def _plan_from_json(value: Any) -> dict[str, Any]:
    if value["kind"] not in ("bytes", "pixels", "jpeg"):
        raise ValueError(f"no kind: {value['kind']!r}")
    return {
        "kind": value["kind"],
        "rows_per_shard": count(value["rows_per_shard"], least=1),
        "fields": dict(value["fields"]),
    }


def _differences(there: Any, here: Any, name: str = "") -> list[str]:
    """Return what differs between two records, as text.

    Examples
    --------
    >>> _differences({"asked": {"kind": "bytes"}}, {"asked": {"kind": "pixels"}})
    ["kind is 'bytes' there, 'pixels' now"]
    """
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        keys = list(dict.fromkeys([*there, *here]))
        return [text for key in keys for text in _differences(there.get(key), here.get(key), key)]
    if there == here:
        return []
    if name == "fingerprint":
        return ["it was made from other data"]
    return [f"{name} is {there!r:.100} there, {here!r:.100} now"]
