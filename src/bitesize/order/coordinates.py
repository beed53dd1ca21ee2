"""Coordinates of rows in an order with windows: where a row comes in an epoch, and where it is stored.

An example: ``Order(20, seed=377, chunks=range(0, 20, 4), batch_size=4, streams=2, window=8)``::

    SourceRow       0  1  2  3 | 4  5  6  7 | 8  9 10 11 |12 13 14 15 |16 17 18 19
    ChunkNumber     0  0  0  0   1  1  1  1   2  2  2  2   3  3  3  3   4  4  4  4

    The chunks of a pass in random order make its line, which is cut into streams.
    Every other stream runs backward. Streams are cut into windows.

    LineRow         0  1  2  3   4  5  6  7   8  9 10 11  12 13 14 15  16 17 18 19
    ChunkNumber     3  3  3  3   0  0  0  0   4  4  4  4   1  1  1  1   2  2  2  2
    SourceRow      12 13 14 15 | 0  1  2  3 |16 17 18 19 | 4  5  6  7 | 8  9 10 11
    StreamNumber    0  0  0  0   0  0  0  0   0  0  1  1   1  1  1  1   1  1  1  1
    StreamTime      0  1  2  3   4  5  6  7   8  9  9  8   7  6  5  4   3  2  1  0
    WindowNumber    0  0  0  0   1  1  1  1   2  2  2  2   2  2  1  1   1  1  0  0

    The rows of each window are shuffled. A batch takes its rows stream by stream:
    its offsets 0 and 1 are of stream 0, its offsets 2 and 3 of stream 1.

    PassPosition    0  1  2  3 | 4  5  6  7 | 8  9 10 11 |12 13 14 15 |16 17 18 19
    StreamNumber    0  0  1  1   0  0  1  1   0  0  1  1   0  0  1  1   0  0  1  1
    StreamTime      0  1  0  1   2  3  2  3   4  5  4  5   6  7  6  7   8  9  8  9
    WindowNumber    0  0  0  0   0  0  1  1   1  1  1  1   1  1  2  2   2  2  2  2
    SourceRow      15 14 10 11  13 12  7  6   3  2  8  9   1  0  4 19  17 16  5 18

    An epoch of an order with repeat=2 has two passes, each with a line of its own.

    EpochPosition   0 ....................... 19 | 20 ....................... 39
    PassNumber      2 * epoch                    | 2 * epoch + 1

The time of a stream is the number of rows that it has yielded in the pass. Stream 1 has a shorter first window, so that streams begin
their windows at different times. Types exist for the type checker only; arrays of coordinates are named after them.
"""

from __future__ import annotations

from typing import NewType

EpochPosition = NewType("EpochPosition", int)
PassNumber = NewType("PassNumber", int)
PassPosition = NewType("PassPosition", int)
StreamNumber = NewType("StreamNumber", int)
StreamTime = NewType("StreamTime", int)
WindowNumber = NewType("WindowNumber", int)
LineRow = NewType("LineRow", int)
ChunkNumber = NewType("ChunkNumber", int)
SourceRow = NewType("SourceRow", int)
