"""What users meet: the command line, progress, tables, errors as exit codes."""
