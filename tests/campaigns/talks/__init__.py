"""What hostile servers say to the probe: each answer is built to be healthy or unhealthy, or is changed at random."""
