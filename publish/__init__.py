"""WHO GETS IT: the manifest and what is made from it."""
