"""The engine: a ring of slots, which threads fill in bites and callers hold by leases."""
