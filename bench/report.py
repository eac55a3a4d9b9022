"""The benchmark's table, its targets, and the file with all results."""

import json
import os
import platform
import time


class Table:
    def __init__(self):
        self.results, self.targets, self.notes = {}, [], []

    def section(self, title, *columns):
        heads = "".join(c.rjust(14) for c in columns)
        print(f"\n{title.ljust(52)}{heads}", flush=True)

    def row(self, name, *cells):
        shown = "".join(f"{c:14.2f}" if isinstance(c, (int, float)) else f"  {c or '':>14}" for c in cells)
        print(f"  {name.ljust(50)}{shown}", flush=True)

    def note(self, text):
        self.notes.append(text)
        print(f"  {text}", flush=True)

    def result(self, name, value):
        self.results[name] = value

    def target(self, what, value, target, unit, at_least=False):
        """VALUE None: it could not be measured, so it is not reached."""
        reached = value is not None and (value >= target if at_least else value <= target)
        self.targets.append({"what": what, "value": value, "target": target, "unit": unit.strip(),
                             "at_least": at_least, "reached": reached})

    def summary(self):
        print("\n" + "targets".ljust(52) + "measured".rjust(14) + "target".rjust(18))
        for t in self.targets:
            unit = " " + t["unit"] if t["unit"] not in ("x", "/s") else t["unit"]
            bound = ("at least " if t["at_least"] else "at most ") + f"{t['target']:g}{unit}"
            value = "?" if t["value"] is None else \
                f"{t['value']:.2f}" if t["value"] < 1000 else f"{t['value']:.0f}"
            verdict = "reached" if t["reached"] else "NOT REACHED"
            print(f"  {t['what'].ljust(50)}{(value + unit).rjust(14)}{bound.rjust(22)}  {verdict}")
        missed = sum(not t["reached"] for t in self.targets)
        print(f"\n{len(self.targets) - missed} of {len(self.targets)} targets reached")

    def write(self, path, quick):
        with open("/proc/loadavg") as load:
            average = load.read().split()[0]
        machine = {"kernel": platform.release(), "processors": os.cpu_count(), "load": average}
        with open(path, "w") as out:
            json.dump({"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "quick": quick,
                       "machine": machine, "targets": self.targets, "results": self.results,
                       "notes": self.notes}, out, indent=1)
        print(f"all figures: {path}")
