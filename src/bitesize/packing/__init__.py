"""`bitesize.pack`: decode or collect data once, into a packed store of few large plain files."""
