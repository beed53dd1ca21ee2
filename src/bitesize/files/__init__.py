"""Files: compact lists of names, reading bytes, file formats, and atomic writing."""
