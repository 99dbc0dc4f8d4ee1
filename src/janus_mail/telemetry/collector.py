"""How often Python looks for objects that hold each other in a ring."""

import gc

# By default it looks through all young objects every 700 allocations, a fifth of a busy API's time; what a request or a
# mail leaves behind is nearly all freed by counting.
_THRESHOLDS = (50_000, 20, 100)


def collect_seldom() -> None:
    """Called once a process, when everything is loaded: that stays, and is not looked through again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
