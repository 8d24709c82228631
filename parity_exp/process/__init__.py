"""What a job is to its operating system: signals, output streams, temporary files, child processes and their bars."""
