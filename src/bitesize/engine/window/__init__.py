"""Windows of chunks: the schedule that loads them, the memory for them, and the cache that rows are read from."""
