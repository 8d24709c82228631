"""The run directory's contract in one place: file names, columns, costs, and what happened to each query and task."""
