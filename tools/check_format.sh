#!/bin/sh
# Refuses files that clang-format would lay out otherwise; `--fix` rewrites them.
# Versions differ in detail, so only the one that .clang-format was made for counts.
set -eu

cd "$(dirname "$0")/.."
format=
for candidate in clang-format-14 clang-format; do
	if command -v "$candidate" >/dev/null 2>&1 && "$candidate" --version | grep -q 'version 14\.'; then
		format=$candidate
		break
	fi
done
if [ -z "$format" ]; then
	echo "format: not checked, because this needs clang-format 14"
	exit 77
fi
if [ "${1:-}" = --fix ]; then
	find src test fuzz -name '*.[ch]' -print0 | xargs -0 "$format" -i
else
	find src test fuzz -name '*.[ch]' -print0 | xargs -0 "$format" --dry-run --Werror 2>&1 |
		sed -n 's/: error: code should be clang-formatted.*/: not as clang-format lays it out (make format)/p' |
		awk -F: '!seen[$1]++ { print; bad = 1 } END { exit bad }'
fi
