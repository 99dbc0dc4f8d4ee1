"""Janus takes an email and a time, and makes sure it leaves at that time, once, through whichever service works."""

__version__ = "0.1.0"
