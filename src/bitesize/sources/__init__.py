"""Sources of rows. Each format is one module; `open.open` selects the format that fits the data."""

from bitesize.sources import combine as combine  # sets `Source.combinators`
