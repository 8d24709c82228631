"""Running estimates from what a policy sees: how busy instances are, when work is late, which instances are slow."""
