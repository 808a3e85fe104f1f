"""The two ways a run ends badly on purpose; both exit 1, and so do internal errors."""

from __future__ import annotations


class Unhealthy(Exception):
    """The check was made and did not pass; the text says what was seen. `--retries` tries again."""


class Usage(Exception):
    """The options cannot be understood or contradict each other. Trying again would not help."""
