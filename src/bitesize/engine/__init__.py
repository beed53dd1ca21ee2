"""The engine: a ring of slots that threads fill in bites and callers hold by leases."""
