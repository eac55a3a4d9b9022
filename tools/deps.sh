#!/bin/sh
# Installs the Debian packages of the groups given (packaging/packages.txt), only those that are missing.
# Asks first on a terminal; RINGFENCE_DEPS=no never installs and only tells what is missing.
set -eu

list=$(dirname "$0")/../packaging/packages.txt
[ $# -gt 0 ] || set -- build

wanted=$(awk -v groups=" $* " '!/^#/ && NF == 2 && index(groups, " " $1 " ") { print $2 }' "$list")

if ! command -v dpkg-query >/dev/null 2>&1; then
	if command -v meson >/dev/null 2>&1 && command -v ninja >/dev/null 2>&1; then
		exit 0 # somebody else's distribution, prepared by its owner
	fi
	echo "deps: this is not Debian or Ubuntu; install what corresponds to:" "$(echo "$wanted" | tr '\n' ' ')" >&2
	exit 1
fi

# One query for all: a package that is installed says "ii NAME" or "hi NAME".
# shellcheck disable=SC2086
have=$(dpkg-query -W -f '${db:Status-Abbrev}${Package}\n' $wanted 2>/dev/null | sed -n 's/^[ih]i //p' || true)
missing=
for package in $wanted; do
	case "
$have
" in
	*"
$package
"*) ;;
	*) missing="$missing $package" ;;
	esac
done
[ -n "$missing" ] || exit 0

# FIELD of /etc/os-release, without its quotes.
os_release() {
	sed -n "s/^$1=\"\{0,1\}\([^\"]*\)\"\{0,1\}\$/\1/p" /etc/os-release 2>/dev/null || true
}
id=$(os_release ID)
version=$(os_release VERSION_ID)
case "$id" in
debian) known=$(awk -v v="$version" 'BEGIN { print (v >= 12) }') ;;
ubuntu) known=$(awk -v v="$version" 'BEGIN { print (v >= 24.04) }') ;;
*) known=0 ;;
esac
if [ "$known" != 1 ]; then
	echo "deps: made for Debian 12 and Ubuntu 24.04, this is ${id:-unknown} $version; install:$missing" >&2
	exit 1
fi
if [ "${RINGFENCE_DEPS:-}" = no ]; then
	echo "deps: missing packages; install them with: apt-get install$missing" >&2
	exit 1
fi

sudo=
if [ "$(id -u)" != 0 ]; then
	if ! command -v sudo >/dev/null 2>&1; then
		echo "deps: not root, and no sudo; as root: apt-get install$missing" >&2
		exit 1
	fi
	sudo=sudo
fi

if [ -t 0 ] && [ -t 1 ]; then
	echo "These packages are missing and would be installed with apt:"
	echo "   $missing"
	printf 'Install them? [Y/n] '
	read -r answer
	case "$answer" in
	'' | [Yy]*) ;;
	*)
		echo "deps: not installed" >&2
		exit 1
		;;
	esac
fi

echo "deps: installing$missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# shellcheck disable=SC2086
if ! { $sudo apt-get -q update && $sudo env DEBIAN_FRONTEND=noninteractive \
	apt-get -q install -y --no-install-recommends $missing; } >"$log" 2>&1; then
	tail -n 20 "$log" >&2
	echo "deps: apt could not install:$missing" >&2
	exit 1
fi
