"""A health probe: one check, one line, exit 0 or 1. It imports only built-in C modules."""
