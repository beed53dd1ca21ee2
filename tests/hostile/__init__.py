"""What files made to hurt do to a loader: nothing. Run it whole with `python -m tests.hostile`."""
