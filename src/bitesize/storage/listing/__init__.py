"""Lists of objects: their format on disk, sorting, and the folder in which they are kept."""
