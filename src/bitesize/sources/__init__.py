"""Sources of rows, and what the author of a source needs.

Source          base class of all formats
RowSource       the contract: what a source must provide, and what it may
Field, Encoded  fields of a row, for ``spec``
Into            destinations of `RowSource.read`, by field
EncodedInto     destination of encoded rows: the ``put`` method of `Into`
EncodedSink, new_buffers, portion
                destinations to read into: of encoded rows, of rows of all fields, of some neighboring rows
BadRows, raise_bad
                rows that could not be read
Located         where rows lie on disk, for `RowSource.locate`
ChunkStarts     rows that are cheap to read together, for `RowSource.chunks`
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
from bitesize.sources.contract import RowSource
from bitesize.sources.options import OpenOptions, RowFiles
from bitesize.sources.protocol import ChunkStarts, EncodedInto, Into, Located, raise_bad
from bitesize.sources.registry import register
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
    "Into",
    "Located",
    "OpenOptions",
    "RowFiles",
    "RowSource",
    "Source",
    "new_buffers",
    "portion",
    "raise_bad",
    "register",
]
