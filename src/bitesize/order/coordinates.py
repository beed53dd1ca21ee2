"""Coordinates of rows in an order with windows: where a row comes in an epoch, and where it is stored.

An example: 20 rows in 5 chunks of 4, batches of 4 rows, 2 streams, windows of 4 rows in each stream::

    SourceRow       0  1  2  3 | 4  5  6  7 | 8  9 10 11 |12 13 14 15 |16 17 18 19
    ChunkNumber         0      |     1      |     2      |     3      |     4

    The chunks of a pass in random order make its line, which is cut into streams.
    Every other stream runs backward. Streams are cut into windows.

    LineRow         0  1  2  3   4  5  6  7   8  9  10 11  12 13 14 15  16 17 18 19
    ChunkNumber         3      |     0      |     4      |     1      |     2
    SourceRow      12 13 14 15 | 0  1  2  3 |16 17  18 19 | 4  5  6  7 | 8  9 10 11
    StreamNumber    0 -----------------------> |  <----------------------------- 1
    StreamTime      0  1  2  3   4  5  6  7   8  9   9  8   7  6  5  4   3  2  1  0
    WindowNumber        0      |     1      |   2  |   2        |    1      |   0

    The rows of each window are shuffled. A batch takes its rows stream by stream:
    its offsets 0 and 1 are of stream 0, its offsets 2 and 3 of stream 1.

    PassPosition    0  1  2  3 | 4  5  6  7 | 8  9 10 11 |12 13 14 15 |16 17 18 19
    batch               0      |     1      |     2      |     3      |     4
    StreamNumber    0  0  1  1 | 0  0  1  1 | 0  0  1  1 | 0  0  1  1 | 0  0  1  1
    StreamTime      0  1  0  1 | 2  3  2  3 | 4  5  4  5 | 6  7  6  7 | 8  9  8  9

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
