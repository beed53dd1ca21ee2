"""Loaders, each written as its own documentation recommends.

A module here has a function for each kind of case. It is given the case and the folder of its data, and returns a
function that loads one epoch and tells how many rows that were, and a line that says how it was set up.
"""
