"""The drawing of coordinates is that of a real order."""

import re

import numpy as np

import bitesize as bs
from bitesize.order import coordinates

ORDER = bs.Order(20, seed=377, chunks=range(0, 20, 4), batch_size=4, streams=2, window=8)


def drawn(name):
    """Return the lines of numbers of one coordinate, in the order of the drawing."""
    lines = re.findall(rf"^    {name} +([\d |]+)$", coordinates.__doc__, re.MULTILINE)
    return [np.array(line.replace("|", " ").split(), int) for line in lines]


def test_the_drawing_is_that_of_its_order():
    windows, positions = ORDER.windows, np.arange(20)
    assert "seed=377" in coordinates.__doc__
    rows, line, order = drawn("SourceRow")
    chunks, chunks_of_line = drawn("ChunkNumber")
    assert np.array_equal(windows.chunk_of(rows), chunks)
    assert np.array_equal(windows.chunk_of(line), chunks_of_line)
    assert np.array_equal(order, ORDER.rows(0, 0, 20))
    streams_of_line, streams = drawn("StreamNumber")
    times_of_line, times = drawn("StreamTime")
    windows_of_line, windows_of_order = drawn("WindowNumber")
    for stream in range(2):
        in_line, own = streams_of_line == stream, streams == stream
        assert np.array_equal(windows.positions(stream, times[own]), positions[own])
        assert np.array_equal(windows.chunk_at(0, stream, times_of_line[in_line]), chunks_of_line[in_line])
        assert np.array_equal(windows._line_rows(stream, times_of_line[in_line]), positions[in_line])
        for these_times, these_windows in (
            (times_of_line[in_line], windows_of_line[in_line]),
            (times[own], windows_of_order[own]),
        ):
            assert [windows.window_at(stream, time) for time in these_times] == these_windows.tolist()
        for window in range(3):  # the rows of a window come in another order than in the line
            assert sorted(line[in_line & (windows_of_line == window)]) == sorted(windows.shuffled_rows(0, stream, window))
