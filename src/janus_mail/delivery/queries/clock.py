"""The one way to read the clock."""

CLOCK = "clock AS MATERIALIZED (SELECT clock_timestamp() AS now)"
