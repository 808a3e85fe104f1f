"""What is said about a file, and who says it."""
