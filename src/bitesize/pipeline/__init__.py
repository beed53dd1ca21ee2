"""From row to batch: shapes, memory, decoding, rendering, and functions of the user."""
