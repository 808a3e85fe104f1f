"""What was recorded of a build beside its files: what fills them, how they were made and compared, what they cost."""
