"""TAMER on two tasks with simulated live teachers: `python -m benchmarks.tamer --help`."""
