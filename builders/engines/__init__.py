"""Where a step runs: one Protocol, three engines."""
