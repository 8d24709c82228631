"""One thin file a command, and what commands share: reading the config and writing run directories.

This is the only floor that knows Hydra's configs; everything below takes plain arguments.
"""
