"""Patches of images, volumes and arrays that do not fit into memory."""
