"""Measurements, each with what it is compared with. `python -m benchmarks.run` runs all of them, or some."""
