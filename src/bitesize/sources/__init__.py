"""Sources of rows. Each format is one module; `open.open` selects the format that fits the data."""
