"""The chapters of the page, each from the same data."""
