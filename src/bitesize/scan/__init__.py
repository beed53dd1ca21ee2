"""One pass over all rows of a source, by threads: statistics, checks, contents, and the speed of reading."""
