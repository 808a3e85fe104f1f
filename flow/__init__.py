"""The whole flow, from a request to verified files: the only room that joins builders, verify and publish."""
