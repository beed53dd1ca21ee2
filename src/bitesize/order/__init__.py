"""Order: the row at each position of each epoch, as pure functions. It depends on lengths, not on sources."""
