"""Several frontends of one pool, each a process of its own."""
