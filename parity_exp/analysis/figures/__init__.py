"""Pictures of runs. Every function returns a Matplotlib figure and leaves saving to the caller."""
