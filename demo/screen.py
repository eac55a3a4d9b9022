"""What the demonstration shows: headings, a table, ticks. Colour on a terminal, plain text otherwise."""

import os
import shutil
import sys
import textwrap


def printable(text):
    """Some of what is shown came out of a sandbox."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


class Screen:
    def __init__(self, quiet=False):
        self.quiet = quiet
        self.colour = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb" and \
            "NO_COLOR" not in os.environ
        width = min(max(shutil.get_terminal_size((120, 24)).columns, 90), 140)
        self.widths = [30, 28, width - 30 - 28 - 8 - 6, 8]

    def paint(self, text, code):
        return f"\033[{code}m{text}\033[0m" if self.colour else text

    def line(self, text=""):
        if not self.quiet:
            print(text, flush=True)

    def heading(self, text):
        self.line()
        self.line(self.paint(text, "1"))

    def text(self, text):
        self.line("  " + printable(text))

    def good(self, text):
        self.line("  " + self.paint("ok  ", "32") + printable(text))

    def bad(self, text):
        self.line("  " + self.paint("NO  ", "1;31") + printable(text))

    def check(self, condition, good, bad):
        (self.good if condition else self.bad)(good if condition else bad)

    def row(self, cells, code=None):
        wrapped = [textwrap.wrap(printable(c), w) or [""] for c, w in zip(cells, self.widths)]
        for i in range(max(map(len, wrapped))):
            parts = [(w[i] if i < len(w) else "").ljust(width) for w, width in zip(wrapped, self.widths)]
            if code:
                parts[-1] = self.paint(parts[-1], code)
            self.line(("  " + "  ".join(parts)).rstrip())

    def table_head(self):
        self.row(["tried", "held by", "evidence", "result"])
        self.line("  " + "  ".join("-" * width for width in self.widths))

    def table_row(self, row):
        by = ", ".join(row["locks"]) + (" - by absence" if row["by_absence"] else "")
        evidence = "; ".join([row["evidence"], *row["problems"]])
        self.row([row["tried"], by, evidence, "held" if row["held"] else "NOT HELD"],
                 "32" if row["held"] else "1;31")

    def verdict(self, ok, text):
        self.line()
        self.line(self.paint(text, "1;32" if ok else "1;31"))
