"""The scripts in ``examples``, as people run them."""
