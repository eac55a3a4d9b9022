#!/bin/sh
# Pid 1 of the virtual machine: control groups version 2 without systemd, laid out as systemd would. Each check
# prints "RESULT name value"; test_vm.py knows what must come out.
export PATH=/usr/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t cgroup2 none /sys/fs/cgroup
chmod 1777 /tmp
insmod /overlay.ko
G=/sys/fs/cgroup
ALL="+memory +pids +cpu"

result() { echo "RESULT $1 $2"; }
# The names after KEY in a receipt, on one line: words NAME KEY FILE
words() { result "$1" "$(sed -n "s/.*\"$2\": \"\\(.*\\)\".*/\\1/p" "$3" | tr '\n' ' ')"; }
limits() { # PREFIX COMMAND…: what limits do to a program, by way of COMMAND
	name=$1; shift
	"$@" run -q --memory 64MiB -- /usr/bin/vmtool eat 200 >/dev/null; result "$name-too-much" $?
	"$@" run -q --memory 64MiB --receipt "/tmp/$name" -- /usr/bin/vmtool eat 20 >/dev/null; result "$name-enough" $?
	words "$name-strength" strength "/tmp/$name"
	words "$name-below" below "/tmp/$name"
}
as_user() { HOME=/home/u vmtool as 1000 ringfence "$@"; }

ringfence doctor --json >/tmp/doctor; result doctor $?
result layout "$(sed -n 's/.*"layout":"\([^"]*\)".*/\1/p' /tmp/doctor)"

# Root, in no unit.
limits root ringfence
ringfence stop 2>/dev/null

# Root's unit, with Delegate=yes.
mkdir -p $G/system.slice
echo "$ALL" >$G/cgroup.subtree_control
echo "$ALL" >$G/system.slice/cgroup.subtree_control
U=$G/system.slice/ringfence.service
mkdir $U
vmtool xattr $U trusted.delegate 1
sh -c "echo 0 >$U/cgroup.procs; exec ringfence serve" 2>/dev/null &
until ringfence status >/dev/null 2>&1; do sleep 0.1; done
limits unit ringfence
result unit-left "$(wc -l <$U/cgroup.procs)"
set -- "$U"/ringfence-*
result unit-groups $#
ringfence stop 2>/dev/null

# A user in a login session: nothing is theirs.
mkdir -p $G/user.slice/session-1.scope
echo "$ALL" >$G/user.slice/cgroup.subtree_control
echo 0 >$G/user.slice/session-1.scope/cgroup.procs
as_user doctor | grep -q 'systemctl --user enable --now ringfence'; result session-advice $?
as_user run -q --receipt /tmp/session -- /usr/bin/true; result session-runs $?
words session-strength strength /tmp/session
as_user run -q --policy /usr/strong.yaml -- /usr/bin/true 2>/dev/null; result session-floor $?
as_user stop 2>/dev/null

# A user whose manager has what systemd delegates: without a unit of ours, then in one.
M=$G/user.slice/user@1000.service
mkdir -p $M
echo "$ALL" >$M/cgroup.subtree_control
mkdir -p $M/app.slice/shell.service $M/app.slice/ringfence.service
chown 1000:1000 $M $M/cgroup.procs $M/cgroup.subtree_control $M/cgroup.threads
chown -R 1000:1000 $M/app.slice
echo "$ALL" >$M/app.slice/cgroup.subtree_control
echo 0 >$M/app.slice/shell.service/cgroup.procs
limits user as_user
mkdir /home/u/w
echo before >/home/u/w/file
chown -R 1000:1000 /home/u/w
result user-staged "$(as_user run -q --workspace /home/u/w --discard -- /bin/sh -c 'cat file; echo after >file; cat file' | tr '\n' ' ')"
as_user stop 2>/dev/null
sh -c "echo 0 >$M/app.slice/ringfence.service/cgroup.procs; HOME=/home/u exec vmtool as 1000 ringfence serve" 2>/dev/null &
until as_user status >/dev/null 2>&1; do sleep 0.1; done
limits user-unit as_user
as_user stop 2>/dev/null
result end 0
poweroff -f
