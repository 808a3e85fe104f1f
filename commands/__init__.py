"""What each command does: joins the rooms, one module a task. `tasks.py` only reads the words."""
