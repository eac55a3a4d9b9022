#!/usr/bin/python3
"""Static programs are whole. GNU ld 2.40, told to be quiet about static glibc (--no-warnings), is quiet about
symbols that it did not find too, and succeeds: the program then jumps to address 0."""

import os
import subprocess
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("RINGFENCE_BIN", ROOT / "build" / "bin"))


def is_static(path):
    headers = subprocess.run(["readelf", "-lW", path], capture_output=True, text=True, check=True).stdout
    return "INTERP" not in headers


class Links(unittest.TestCase):
    def test_every_static_program_has_all_its_symbols(self):
        programs = [p for p in sorted(BIN.iterdir()) if p.read_bytes()[:4] == b"\x7fELF" and is_static(p)]
        for program in programs:
            missing = subprocess.run(["nm", "-u", program], capture_output=True, text=True, check=True).stdout
            strong = [line for line in missing.splitlines() if line.split()[0] == "U"]
            self.assertEqual(strong, [], program.name)


if __name__ == "__main__":
    unittest.main()
