"""Listings of buckets with millions of objects, which no server here could be filled with in time."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from urllib.parse import parse_qs

from tests.servers.faults import Answer, Plan, Request, listing


def listed(keys: Sequence[str], size: int = 1, page: int = 1000) -> Plan:
    """Plan the answers to S3 listings as if a bucket held these keys, which must be sorted; other requests reach the server.

    Prefixes, folders (delimiters), ``start-after`` and pages are as S3 has them; every object has `size` bytes.
    """

    def plan(request: Request) -> Answer | None:
        if not request.lists:
            return None
        asked = {name: values[0] for name, values in parse_qs(request.query).items()}
        prefix, delimiter = asked.get("prefix", ""), asked.get("delimiter")
        place = max(bisect_left(keys, prefix), bisect_right(keys, asked["start-after"]) if "start-after" in asked else 0)
        place = int(asked.get("continuation-token", place))
        most = min(page, int(asked.get("max-keys", page)))
        found, folders = {}, []
        while place < len(keys) and keys[place].startswith(prefix) and len(found) + len(folders) < most:
            key = keys[place]
            name, slash, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
            if slash:
                folders.append(prefix + name + slash)
                place = bisect_left(keys, folders[-1] + "\U0010ffff", place)
            else:
                found[key] = size
                place += 1
        more = place < len(keys) and keys[place].startswith(prefix)
        return listing(found, str(place) if more else None, folders)

    return plan
