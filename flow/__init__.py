"""The whole flow, from a request to verified files: the only package that joins builders, verify and publish."""
