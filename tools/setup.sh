#!/bin/sh
# setup.sh DIRECTORY OPTION...: configures a meson build directory, once.
set -eu
dir=$1
shift
[ -f "$dir/build.ninja" ] && exit 0
if ! /usr/bin/meson setup "$@" "$dir" >"$dir.log" 2>&1; then
	tail -n 5 "$dir.log" >&2
	exit 1
fi
mv "$dir.log" "$dir/setup.log"
