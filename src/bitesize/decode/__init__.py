"""Image formats: reading headers, and decoding pixels into a charged buffer."""
