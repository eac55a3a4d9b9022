"""Writes until the disk is full, here and in every other place that can be written."""

import os

block = b"x" * (1 << 20)
for directory in (".", "/tmp", "/dev/shm", "/var/tmp", os.path.expanduser("~")):
    written = 0
    try:
        with open(os.path.join(directory, "filler"), "wb", buffering=0) as filler:
            while written < 4 << 30:
                written += filler.write(block)
        print("GOT", directory, written)
    except OSError as error:
        print(directory, "stopped after", written >> 20, "MiB:", error.strerror)
