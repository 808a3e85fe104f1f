"""Is something known against what is linked in? What databases of vulnerabilities say of the pinned releases."""
