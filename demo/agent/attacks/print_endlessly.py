"""Floods whoever reads its output."""

import sys

line = "all work and no play makes an agent a dull boy\n" * 100
while True:
    sys.stdout.write(line)
