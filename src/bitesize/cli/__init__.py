"""The command line: one file a command; it alone prints."""
