#!/bin/sh
# Looks over every shell script with shellcheck, and does a syntax check over every Python file.
set -eu

cd "$(dirname "$0")/.."
scripts=$(git ls-files --cached --others --exclude-standard | while read -r file; do
	[ -f "$file" ] || continue
	if head -n 1 "$file" 2>/dev/null | LC_ALL=C grep -aqE '^#!.*[/ ](ba|da)?sh( |$)'; then echo "$file"; fi
done)
status=0
if command -v shellcheck >/dev/null 2>&1; then
	# shellcheck disable=SC2086
	shellcheck $scripts || status=1
else
	echo "scripts: shellcheck is not installed"
	status=77
fi
git ls-files --cached --others --exclude-standard '*.py' | /usr/bin/python3 -c '
import sys
bad = 0
for name in sys.stdin.read().split("\n"):
    if not name:
        continue
    try:
        with open(name, encoding="utf-8") as source:
            compile(source.read(), name, "exec")
    except FileNotFoundError:
        pass
    except SyntaxError as error:
        print(error)
        bad = 1
sys.exit(bad)' || status=1
exit $status
