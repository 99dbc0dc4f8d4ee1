"""What a person who waits is told: which run of how many, and what is being filled."""

import time
from collections.abc import Iterator


def each_run(many: int) -> Iterator[int]:
    """0 to `many` - 1, each told of as it begins."""
    began_s = time.perf_counter()
    for number in range(many):
        say(f"run {number + 1} of {many}" + (f", after {time.perf_counter() - began_s:.0f} s" if number else ""))
        yield number


def say(what: str) -> None:
    """A line, at once."""
    print(f"    {what}", flush=True)
