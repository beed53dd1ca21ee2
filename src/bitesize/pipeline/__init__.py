"""How a row becomes part of a batch: which shape it gets, what that takes, and how it is decoded, drawn and given to functions."""
