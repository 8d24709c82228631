"""What some runs are: what differs between their configs, and their numbers as tidy tables."""
