"""Rendered archives in the layouts of the benchmarks, and their baselines."""
