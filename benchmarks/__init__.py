"""Measurements, each with what it is compared with. `python -m benchmarks.lateness` runs one."""
