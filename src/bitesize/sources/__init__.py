"""Sources of rows, and what the author of a source needs.

Source          base class of all formats
RowContract, RowSource, Format
                its parts: the contract by which rows are read, what is known about rows, how a format is recognized
Field, Encoded  fields of a row, for ``spec``
Into            destinations of `RowContract.read`, by field
EncodedInto     destination of encoded rows: the ``put`` method of `Into`
EncodedSink, new_buffers, portion
                destinations to read into: of encoded rows, of rows of all fields, of some neighboring rows
BadRows, raise_bad
                rows that could not be read
Located         where rows lie on disk, for `RowContract.locate`
ChunkStarts     rows that are cheap to read together, for `RowContract.chunks`
OpenOptions     options of `bitesize.open`
RowFiles        files of one row each, for `Source.of_files`
Choice          a decision made while data was opened
register        add a class to those that `bitesize.open` finds

Each format is one module; the rules of `rules.py` select it. `combine` derives sources from others, `layouts` recognizes folders.
"""

from bitesize.errors import BadRows
from bitesize.sources import combine as combine  # sets `Source.combinators`
from bitesize.sources.base import Source
from bitesize.sources.choices import Choice
from bitesize.sources.contract import RowContract
from bitesize.sources.format import Format
from bitesize.sources.options import OpenOptions, RowFiles
from bitesize.sources.protocol import ChunkStarts, EncodedInto, Into, Located, raise_bad
from bitesize.sources.registry import register
from bitesize.sources.row_source import RowSource
from bitesize.sources.sinks import EncodedSink, new_buffers, portion
from bitesize.spec import Encoded, Field

__all__ = [
    "BadRows",
    "Choice",
    "ChunkStarts",
    "Encoded",
    "EncodedInto",
    "EncodedSink",
    "Field",
    "Format",
    "Into",
    "Located",
    "OpenOptions",
    "RowContract",
    "RowFiles",
    "RowSource",
    "Source",
    "new_buffers",
    "portion",
    "raise_bad",
    "register",
]
