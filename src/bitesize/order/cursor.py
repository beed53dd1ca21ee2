"""Cursor: where a run stands, as JSON; a pure order needs no more to go on exactly there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bitesize.errors import BadSetting

SCHEMA = 1


@dataclass(frozen=True)
class Cursor:
    """Where a run stands: all that exact resume needs.

    Parameters
    ----------
    epoch, position
        The next row: epoch from 0, and position in its order. At the very end of an epoch, whose loop has not ended
        yet, the position is that behind the last row that the epoch gives.
    batch_size
        Rows of a global batch.
    source
        Fingerprint of the data.
    order
        What decides the order of rows; see `Order.settings`.

    Examples
    --------
    >>> import bitesize as bs
    >>> cursor = Cursor(epoch=2, position=640, batch_size=64, source="ab12", order=bs.Order(1000).settings())
    >>> Cursor.from_dict(cursor.as_dict()) == cursor
    True
    """

    epoch: int
    position: int
    batch_size: int
    source: str
    order: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Give it as JSON can hold it."""
        return {"schema": SCHEMA, **asdict(self)}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Cursor:
        """Read what `as_dict` gave.

        Raises
        ------
        BadSetting
            If it is something else, or from a version that wrote it otherwise.
        """
        if not isinstance(state, Mapping) or "schema" not in state:
            raise BadSetting(f"this is no state of a loader: {str(state)[:80]}")
        if state["schema"] != SCHEMA:
            raise BadSetting(f"the state is of schema {state['schema']}, and this version reads {SCHEMA}")
        fields = {name: state.get(name) for name in cls.__annotations__}
        kinds: Mapping[str, type] = {"epoch": int, "position": int, "batch_size": int, "source": str, "order": Mapping}
        for name, kind in kinds.items():
            value = fields[name]
            if not isinstance(value, kind) or isinstance(value, bool) or (isinstance(value, int) and value < 0):
                raise BadSetting(f"the state's {name!r} is {value!r}")
        return cls(**fields)  # type: ignore[arg-type]  # checked above

    def differences(self, now: Cursor) -> list[str]:
        """Say in which of data and order a state differs from what is here; none if it can be continued."""
        found = []
        if self.order.get("n") != now.order["n"]:
            found.append(f"the data have {now.order['n']:,} rows, and the state is of {self.order.get('n'):,}")
        elif self.source != now.source:
            found.append("the data are others: names, labels or shapes differ")
        names = dict.fromkeys([*now.order, *self.order])
        for name in names:
            old, new = self.order.get(name), now.order.get(name)
            if name != "n" and old != new:
                found.append(f"the order's {name} is {new!r} here, and {old!r} in the state")
        return found
