"""Steps on other machines, by Dask. Nothing of this is imported by a build that runs here."""
