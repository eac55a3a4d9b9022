#!/bin/sh
# A service of systemd's in the virtual machine: the unit ringfence.service as `make install` lays it down. As
# guest.sh, each check prints "RESULT name value".
export PATH=/usr/bin HOME=/root
insmod /overlay.ko
chmod 1777 /tmp

result() { echo "RESULT $1 $2"; }
show() { systemctl show ringfence -p "$1" --value; }

systemctl start ringfence
result start $?
result type "$(show Type)"
result delegate "$(show Delegate)"
G=/sys/fs/cgroup$(show ControlGroup)
result group "$(show ControlGroup)"
MAIN=$(show MainPID)
result main "$(cat /proc/"$MAIN"/comm)"
result bounding "$(sed -n 's/CapBnd:.//p' /proc/"$MAIN"/status)"
result left-in-unit "$(wc -l <"$G/cgroup.procs")"
result controllers "$(cat "$G/cgroup.subtree_control")"

ringfence run -q --receipt /tmp/receipt -- /usr/bin/true
result run $?
result below "$(sed -n 's/.*"below": "\(.*\)".*/\1/p' /tmp/receipt)"
ringfence run -q --memory 64MiB -- /usr/bin/vmtool eat 200 >/dev/null
result memory $?
result active-after-memory "$(systemctl is-active ringfence)"

SESSION=$(ringfence sandbox create)
systemctl set-property --runtime ringfence.slice MemoryMax=48M
ringfence sandbox exec "$SESSION" -- /usr/bin/vmtool eat 60 >/dev/null 2>&1
result beyond-the-slice $?
systemctl set-property --runtime ringfence.slice MemoryMax=infinity

ringfence sandbox create --name survivor >/dev/null
kill -9 "$MAIN"
until [ "$(show MainPID)" != "$MAIN" ] && [ "$(systemctl is-active ringfence)" = active ]; do sleep 0.1; done
result restarts "$(show NRestarts)"
result lost "$(ringfence sandbox list --all | grep -c survivor)"
ringfence run -q -- /usr/bin/true
result run-after-restart $?

systemctl stop ringfence
result stop "$(systemctl is-active ringfence) $(show Result)"
result group-gone "$(test -d "$G"; echo $?)"
systemctl start ringfence
ringfence stop
sleep 2 # longer than RestartSec: what must not happen has no event
result stopped-on-purpose "$(systemctl is-active ringfence) $(show NRestarts)"
result end 0
poweroff -f
