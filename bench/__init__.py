"""Sizes, times and memory of what was built, measured beside reference programs."""
