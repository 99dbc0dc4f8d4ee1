"""The statements of delivery, named, a file for each part of the way.

All of them take their time from PostgreSQL's clock, read in a `MATERIALIZED` CTE: a volatile `clock_timestamp()` in a
condition is never an index condition. Statements that touch many messages lock them `ORDER BY id` first, so that two
of them never deadlock, and mark the events they change in `event_dirty` instead of touching `events`.
"""
