"""How verdicts are written down for people, programs, code scanning and CI servers."""
