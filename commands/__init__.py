"""What each command does: one module a command. `tasks.py` only reads the words."""
