"""Search by Optuna: which trials a sweep runs, kept on disk, and which of them end early.

Nothing here is imported by who does not search, and Optuna itself only when a search begins: Hydra imports its plugins
at every start.
"""
