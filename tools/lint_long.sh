#!/bin/sh
# The static checks that take minutes: clang-tidy and cppcheck over every source file.
set -eu

cd "$(dirname "$0")/.."
# A configuration of its own: plain clang flags for every file, without the specs of musl.
CC=clang tools/setup.sh build-tidy -Dlean_libc=glibc
sources=$(/usr/bin/python3 -c '
import json, os
entries = json.load(open("build-tidy/compile_commands.json"))
files = {os.path.relpath(os.path.join(entry["directory"], entry["file"])) for entry in entries}
print("\n".join(sorted(name for name in files if name.startswith("src/"))))')

status=0
echo "cppcheck…"
cppcheck --quiet --error-exitcode=1 --inline-suppr --std=c11 --enable=warning,portability \
	--suppressions-list=tools/cppcheck.txt -j 2 -I src -D__x86_64__ -D_GNU_SOURCE src || status=1

echo "clang-tidy…"
# shellcheck disable=SC2086
printf '%s\n' $sources | xargs -P 2 -n 4 clang-tidy --quiet -p build-tidy >build-tidy/tidy.txt 2>/dev/null || {
	grep -E 'warning:|error:' -A 3 build-tidy/tidy.txt
	status=1
}
[ "$status" = 0 ] && echo "clean"
exit "$status"
