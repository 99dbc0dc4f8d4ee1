"""`python -m tests.faults.wrong_clock SECONDS worker …`: `janus …` on a clock that is so many seconds ahead.

What a machine with a wrong clock has wrong is its date; clocks that only measure how long something takes stay right.
"""

import datetime as dt
import sys
import time

import time_machine

from janus_mail.cli import main

if __name__ == "__main__":
    offset_s = float(sys.argv.pop(1))
    with time_machine.travel(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=offset_s), tick=True):
        off_s = time.time() - time_machine.escape_hatch.time.time()
        sys.stderr.write(f"the clock is off by {off_s:+.0f} s\n")
        main()
