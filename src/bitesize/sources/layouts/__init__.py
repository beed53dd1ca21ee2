"""How people lay out data: one file a family of layouts, each a function that returns a `Source` or None."""
