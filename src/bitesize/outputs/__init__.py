"""Outputs: a loader as each framework expects its data."""
