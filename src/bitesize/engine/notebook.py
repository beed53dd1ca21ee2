"""Batches that a notebook keeps: IPython holds the outputs of cells, and variables outlive their cell."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bitesize.engine.ring import Ring

# Largest number of values of a list, a tuple or a dict that are checked.
_MOST = 1000
# Names that IPython itself gives to the outputs of cells.
_SHOWN = ("_oh", "Out", "_", "__", "___")


def kept_in_notebook(ring: Ring) -> str:
    """Return a sentence that names the outputs and variables of an IPython shell or Jupyter notebook that keep batches, or ""."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None:
        return ""
    slots = [(slot.memory.ctypes.data, slot.memory.nbytes) for slot in ring.slots]
    shown = {n: value for n, value in list(shell.user_ns.get("_oh", {}).items()) if _looks_at(value, slots)}
    outputs = {id(value) for value in shown.values()}  # `%xdel` deletes their names too
    names = [
        name
        for name, value in list(shell.user_ns.items())
        if id(value) not in outputs
        and not (name in _SHOWN or (name[:1] == "_" and name[1:].isdigit()))
        and _looks_at(value, slots)
    ]
    kept = [f"Out[{n}] (`%xdel _{n}` deletes it and its other names)" for n in shown]
    if len(shown) > 1:
        # IPython fails at a second `%xdel` in the same cell, and `%reset out` leaves references in `user_ns_hidden`.
        deleted = ", ".join(f"`%xdel _{n}`" for n in shown)
        kept = [
            f"{', '.join(f'Out[{n}]' for n in shown)} ({deleted}, each in a cell of its own, delete them and their other names)"
        ]
    if names:
        kept.append(f"{', '.join(names)} (`del {', '.join(names)}`)")
    return f"In this notebook, batches are kept by {' and '.join(kept)}." if kept else ""


def _looks_at(value: Any, slots: Iterable[tuple[int, int]], depth: int = 3) -> bool:
    """Return whether a value is an array or a tensor in the memory of a slot, or contains one."""
    if isinstance(value, Mapping | list | tuple | set):
        inside = value.values() if isinstance(value, Mapping) else value
        some = [each for each, _ in zip(inside, range(_MOST), strict=False)]
        return depth > 0 and any(_looks_at(each, slots, depth - 1) for each in some)
    address = _address(value)
    return address is not None and any(start <= address < start + nbytes for start, nbytes in slots)


def _address(value: Any) -> int | None:
    """Return the address of the memory of an array or a CPU tensor; None for any other value."""
    kind = type(value).__module__.partition(".")[0]
    if kind == "numpy" and hasattr(value, "ctypes"):
        return int(value.ctypes.data)
    if kind == "torch" and hasattr(value, "data_ptr"):
        dense = value.device.type == "cpu" and str(value.layout) == "torch.strided"
        return int(value.data_ptr()) if dense else None
    if kind.startswith("jax") and hasattr(value, "unsafe_buffer_pointer"):
        return (
            None
            if value.is_deleted() or not value.is_fully_addressable or len(value.devices()) > 1
            else int(value.unsafe_buffer_pointer())
        )
    return None
