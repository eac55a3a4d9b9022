#!/usr/bin/python3
"""House rules that no compiler checks: banned functions, headers, sizes. Sizes only warn."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BANNED = {
    "strcpy": "snprintf or base/buf.h",
    "stpcpy": "snprintf or base/buf.h",
    "strcat": "base/buf.h",
    "strncat": "base/buf.h",
    "strncpy": "snprintf or base/buf.h",
    "sprintf": "snprintf",
    "vsprintf": "vsnprintf",
    "gets": "a bounded read",
    "atoi": "strtol with its checks",
    "atol": "strtol with its checks",
    "atoll": "strtoll with its checks",
    "strtok": "strchr",
    "strtok_r": "strchr",
    "system": "fork and exec",
    "popen": "fork and exec",
    "alloca": "malloc",
    "tmpnam": "mkstemp",
    "mktemp": "mkstemp",
}
CALL = re.compile(r"(?<![\w.>])(" + "|".join(BANNED) + r")\s*\(")
SLEEP = re.compile(r"(?<![\w.>])(sleep|usleep|nanosleep)\s*\(")
FUNCTION_LINES = 60
FILE_LINES = 1000


def blank(match):
    """Replaces a comment or string by blanks, lines kept."""
    return re.sub(r"[^\n]", " ", match.group(0))


def code_of(text):
    pattern = r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''
    return re.sub(pattern, blank, text, flags=re.S)


def long_functions(code):
    start = name = None
    for number, line in enumerate(code.splitlines(), 1):
        match = re.match(r"(\w+)\(", line)
        if match:
            name = match.group(1)
        if line == "{":
            start = number
        elif line == "}" and start is not None:
            if number - start - 1 > FUNCTION_LINES:
                yield start, name, number - start - 1
            start = None


CLEANED = re.compile(r"^\s+(?:_cleanup_\w+_|CLEANUP\(\w+\)) [\w ]+?[ *](\w+(?:, \*?\w+)*);")


def cleaned_too_early(code):
    """What is cleaned up at a return before it was ever begun: its bytes are whatever the stack had."""
    lines = code.splitlines()
    for number, line in enumerate(lines, 1):
        match = CLEANED.match(line)
        waiting = set(match.group(1).replace("*", "").split(", ")) if match else set()
        for later in lines[number:]:
            waiting = {name for name in waiting if not re.search(r"&%s\b|\b%s = " % (name, name), later)}
            if not waiting or later == "}":
                break
            if re.search(r"\b(return|goto)\b", later):
                yield number, sorted(waiting)[0]
                break


def check(path, complaints, warnings):
    text = path.read_text(encoding="utf-8")
    code = code_of(text)
    shown = path.relative_to(ROOT)
    lines = code.splitlines()
    for number, line in enumerate(lines, 1):
        for match in CALL.finditer(line):
            function = match.group(1)
            complaints.append(f"{shown}:{number}: {function} is banned; use {BANNED[function]}")
        if SLEEP.search(line) and "test" in shown.parts:
            complaints.append(f"{shown}:{number}: no sleeping in tests")
    if not text.lstrip().startswith("/*") and path.name != path.parent.name and "src" in shown.parts:
        header = path.with_suffix(".h")
        if path.suffix == ".h" or not header.exists():
            complaints.append(f"{shown}:1: a file opens with what it is for")
    if path.suffix == ".h" and "#pragma once" not in text:
        complaints.append(f"{shown}:1: a header needs #pragma once")
    for number, name in cleaned_too_early(code):
        complaints.append(f"{shown}:{number}: {name} is cleaned up before it is begun; begin it first, or = {0}")
    for number, name, length in long_functions(code):
        warnings.append(f"{shown}:{number}: warning: {name} has {length} lines")
    if len(lines) > FILE_LINES:
        warnings.append(f"{shown}: warning: {len(lines)} lines")


def main():
    complaints, warnings = [], []
    for folder in ("src", "test", "fuzz"):
        for path in sorted((ROOT / folder).rglob("*.[ch]")):
            check(path, complaints, warnings)
    for line in warnings + complaints:
        print(line)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
