#!/usr/bin/python3
"""Refuses an include that points up the layers, or from one program into another (ARCHITECTURE.md)."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Lowest first. A folder that is not named here is a program, the highest.
TIERS = [
    {"base"},
    {"sys", "proto", "policy", "action", "ledgerfmt"},
    {"io", "ipc", "store"},
    {"sandbox", "image"},
]
PROGRAMS = len(TIERS)
# Beside its own folder and lower tiers, a folder may include these of its own tier.
SIDEWAYS = {("policy", "action"), ("ipc", "io"), ("image", "sandbox")}
# One program is built from another's functions, because what is proved must be what runs.
BUILT_FROM = {("prove/one_lock.c", "init"), ("prove/attacks/takeover.c", "gateway")}
# Libraries belong to the layers whose business they are.
LIBRARIES = {
    "yaml.h": {"policy", "arbiter"},
    "sqlite3.h": {"store", "audit"},
    "libpq-fe.h": {"store"},
    "openssl/ssl.h": {"io"},
    "event2/": {"io"},
    "archive": {"image"},
}
# Pure layers read memory and return values.
PURE = {"policy", "proto", "action"}
IMPURE_HEADERS = ("fcntl.h", "sys/socket.h", "sys/stat.h", "sys/mount.h", "netinet/", "poll.h")


def tier(folder):
    for level, folders in enumerate(TIERS):
        if folder in folders:
            return level
    return PROGRAMS


def check(path):
    folder = path.relative_to(ROOT / "src").parts[0]
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        match = re.match(r'\s*#\s*include\s*(["<])([^">]+)', line)
        if match is None:
            continue
        quoted, name = match.group(1) == '"', match.group(2)
        where = f"{path.relative_to(ROOT)}:{number}: "
        if quoted and "/" not in name:
            yield where + f'"{name}" must be included by its path from src/'
        elif quoted:
            target = name.split("/")[0]
            if target == folder or (str(path.relative_to(ROOT / "src")), target) in BUILT_FROM:
                continue
            if tier(target) == PROGRAMS:
                yield where + f'{folder} includes "{name}": only {target} may'
            elif tier(target) == tier(folder) and (folder, target) not in SIDEWAYS:
                yield where + f'{folder} includes "{name}": the same layer'
            elif tier(target) > tier(folder):
                yield where + f'{folder} includes "{name}": a higher layer'
        else:
            for library, owners in LIBRARIES.items():
                if name.startswith(library) and folder not in owners:
                    yield where + f"<{name}> belongs to {', '.join(sorted(owners))}"
            if folder in PURE and name.startswith(IMPURE_HEADERS):
                yield where + f"<{name}>: {folder} is pure and does no I/O"


def main():
    complaints = []
    for path in sorted((ROOT / "src").rglob("*.[ch]")):
        complaints += check(path)
    for complaint in complaints:
        print(complaint)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
