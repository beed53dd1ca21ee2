"""The bench: every loader on the same data, each in a process of its own, in turn. ``python -m bench --help``."""
