"""IS IT GOOD: ELF facts, rules, verdicts and smoke runs, usable on any file."""
