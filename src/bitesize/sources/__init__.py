"""Sources: where rows come from. One file is one kind of data; `opening.open` finds the one that fits."""
