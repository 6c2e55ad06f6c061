"""What all benchmarks share, and the runs of those that choose among texts or clips."""
