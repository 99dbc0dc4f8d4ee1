"""The clock that no one can set: for leases, rests and everything else that lasts a while within one process."""

import time

_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # goes on while the machine sleeps


def boot_clock_s() -> float:
    """Seconds since boot, suspended time included."""
    return time.clock_gettime(_BOOT_CLOCK)
