"""Files: their names held compactly, their bytes, the `.npy` format, and writing that survives a crash."""
