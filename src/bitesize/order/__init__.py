"""Order: which row stands at which position of which epoch, as pure functions; it knows lengths, never sources."""
