"""HOW: plan, build and pack; fetching sources; the engines a step runs in."""
