#!/bin/sh
# The static checks that take minutes: clang-tidy and cppcheck over every source file.
set -eu

cd "$(dirname "$0")/.."
# A configuration of its own: plain clang flags for every file, without the specs of musl.
CC=clang tools/setup.sh build-tidy -Dlean_libc=glibc
sources=$(/usr/bin/python3 -c '
import json
files = {entry["file"] for entry in json.load(open("build-tidy/compile_commands.json"))}
print("\n".join(sorted(name for name in files if "/src/" in name)))')

echo "cppcheck…"
cppcheck --quiet --error-exitcode=1 --inline-suppr --std=c11 --enable=warning,portability \
	--suppressions-list=tools/cppcheck.txt -j 2 -I src -D__x86_64__ -D_GNU_SOURCE src

echo "clang-tidy…"
# shellcheck disable=SC2086
(cd build-tidy && printf '%s\n' $sources |
	xargs -P 2 -n 4 clang-tidy --quiet -p . 2>/dev/null) >build-tidy/tidy.txt || {
	grep -E 'warning:|error:' -A 3 build-tidy/tidy.txt
	exit 1
}
echo "clean"
