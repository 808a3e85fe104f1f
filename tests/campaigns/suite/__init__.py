"""What the campaign `curl` needs to run curl's own test suite on our files."""
