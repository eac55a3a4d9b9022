"""Starts processes until the system says no, and never stops trying."""

import os
import signal
import sys

signal.alarm(20)
started = 0
while True:
    try:
        if os.fork() == 0:
            signal.pause()
        started += 1
    except OSError as error:
        print("stopped after", started, "processes:", error.strerror)
        sys.stdout.flush()
        break
