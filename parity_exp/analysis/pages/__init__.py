"""Pages about runs: what stands on them, in sentences, tables and pictures."""
