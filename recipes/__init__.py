"""WHAT is built: recipes as data, the targets, and the errors every room raises."""
