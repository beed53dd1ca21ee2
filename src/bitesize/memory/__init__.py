"""Bytes: how they are written, how many this process may use, who holds them, and the plan."""
