"""Cursor: the position of a run, in JSON. Orders are pure functions, so exact resume needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bitesize.errors import BadSetting

SCHEMA = 1


@dataclass(frozen=True)
class Cursor:
    """Position of a run: all data that exact resume needs.

    Parameters
    ----------
    epoch, position
        Epoch (from 0) of the next row, and its position in the order of the epoch. After the last row of an epoch, and before
        its loop ends, the position is one past the last row of the epoch.
    batch_size
        Rows in a global batch.
    source
        Fingerprint of the data.
    order
        Settings of the order of rows; see `Order.settings`.

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
        """Return the cursor as a dict of JSON values.

        Returns
        -------
        dict
            Numbers, strings and dicts; `from_dict` reads it.

        Examples
        --------
        >>> import bitesize as bs
        >>> bs.Cursor(2, 640, 64, "ab12", {"n": 1000}).as_dict()
        {'schema': 1, 'epoch': 2, 'position': 640, 'batch_size': 64, 'source': 'ab12', 'order': {'n': 1000}}
        """
        return {"schema": SCHEMA, **asdict(self)}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Cursor:
        """Create a cursor from the result of `as_dict`.

        Parameters
        ----------
        state
            Result of `as_dict`, also after a round trip through JSON.

        Returns
        -------
        Cursor
            The saved position.

        Raises
        ------
        BadSetting
            If ``state`` is not a saved cursor, or has a different schema.

        Examples
        --------
        >>> import bitesize as bs
        >>> state = {"schema": 1, "epoch": 2, "position": 640, "batch_size": 64, "source": "ab12", "order": {"n": 1000}}
        >>> bs.Cursor.from_dict(state).position
        640
        """
        if not isinstance(state, Mapping) or "schema" not in state:
            raise BadSetting(f"this is not the state of a loader: {str(state)[:80]}")
        if state["schema"] != SCHEMA:
            raise BadSetting(f"the state has schema {state['schema']}, but this version of bitesize reads schema {SCHEMA}")
        fields = {name: state.get(name) for name in cls.__annotations__}
        kinds: Mapping[str, type] = {"epoch": int, "position": int, "batch_size": int, "source": str, "order": Mapping}
        for name, kind in kinds.items():
            value = fields[name]
            if not isinstance(value, kind) or isinstance(value, bool) or (isinstance(value, int) and value < 0):
                raise BadSetting(f"the state has an invalid {name!r}: {value!r}")
        return cls(**fields)  # type: ignore[arg-type]  # checked above

    def differences(self, now: Cursor) -> list[str]:
        """Return the differences in data and order from another cursor; empty if the run can be resumed.

        Parameters
        ----------
        now
            Cursor of the loader that is to continue the run.

        Returns
        -------
        list of str
            One sentence for each difference.

        Examples
        --------
        >>> import bitesize as bs
        >>> saved = bs.Cursor(0, 0, 8, "ab12", bs.Order(1000, seed=1).settings())
        >>> saved.differences(bs.Cursor(0, 0, 8, "ab12", bs.Order(1000, seed=2).settings()))
        ["the order's seed is 2 here, but 1 in the state"]
        """
        differences = []
        if self.order.get("n") != now.order["n"]:
            differences.append(f"the data has {now.order['n']:,} rows, but the state is for {self.order.get('n'):,} rows")
        elif self.source != now.source:
            differences.append("the data is different: names, labels or shapes differ")
        names = dict.fromkeys([*now.order, *self.order])
        for name in names:
            old, new = self.order.get(name), now.order.get(name)
            if name != "n" and old != new:
                differences.append(f"the order's {name} is {new!r} here, but {old!r} in the state")
        return differences
