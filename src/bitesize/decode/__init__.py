"""Images: what a file is by its first bytes, and its pixels into a buffer that was charged for."""
