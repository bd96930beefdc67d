#!/usr/bin/env bash
# Two network namespaces, 'laptop' and 'cluster', and a link between them that can be cut, delayed and throttled. Needs root and
# /dev/net/tun. The link is a small program (netns_wire/wire.c) between two tun devices, since some kernels have no sch_netem.
#
#   netns.sh start DIR           make them (idempotent): NAME-laptop and NAME-cluster, NAME being DIR's own
#   netns.sh stop  DIR           remove them, and end what runs in them
#   netns.sh pids  DIR           the wire, and all that runs in the namespaces
#   netns.sh left  DIR           of those, what runs in the namespaces
#   netns.sh cut|heal  DIR       drop every packet, of which no side is told | deliver again
#   netns.sh down|up  DIR        take the laptop's device down, so that sending fails at once | up again
#   netns.sh delay DIR MS        one way: the round trip grows by twice that
#   netns.sh rate  DIR MBIT      limit in each direction, 0: none
#   netns.sh loss  DIR PERCENT   random, in each direction
#   netns.sh queue DIR KB        bytes that may wait in each direction (4096)
#   netns.sh reset DIR           a good link again, as after the start
#   netns.sh exec  DIR laptop|cluster COMMAND...
#
# Environment, read at start: NETNS_NET (10.77.0): the laptop is its .1, the cluster its .2
set -euo pipefail
die() { echo "netns.sh: $*" >&2; exit 1; }
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
. "$HERE/processes.sh"

[ $# -ge 2 ] || die "usage: netns.sh start|stop|pids|left|cut|heal|down|up|delay|rate|loss|queue|reset|exec DIR ..."
[ -d "$2" ] || { [ "$1" != start ] && exit 0 || mkdir -p "$2"; }
DIR=$(cd "$2" && pwd -P)
NAME=$(basename "$DIR")
[ "$(id -u)" = 0 ] || die "needs root"

GOOD="0 0 0 0 4096"

wire_pid() { alive "$DIR/wire.pid" "$DIR/control"; }
exists() { [ -e "/run/netns/$NAME-$1" ]; }
inside() { # the wire is in the namespace that it entered last
    local side wire
    wire=$(cat "$DIR/wire.pid" 2>/dev/null) || return 0
    for side in laptop cluster; do ! exists $side || ip netns pids "$NAME-$side"; done | grep -vxF "$wire" || true
}
up_in() { [ -n "$(ip -n "$NAME-$1" -4 addr show dev wire up 2>/dev/null)" ]; }
applied() { cmp -s "$DIR/control" "$DIR/applied"; }
await() { # await COMMAND...: until it succeeds, as long as the wire runs
    for _ in $(seq 500); do
        if "$@"; then return 0; fi
        [ -n "$(running "$(cat "$DIR/wire.pid")")" ] || die "the wire ended: $(cat "$DIR/log")"
        sleep 0.01
    done
    die "$* did not come true: $(cat "$DIR/log")"
}
start() {
    local net=${NETNS_NET:-10.77.0} side
    ! wire_pid >/dev/null || return 0
    # A client started outside the namespaces by mistake shall fail at once, and not send packets to a stranger's host.
    [ -n "$(ip route show "$net.0/24")" ] || { ip route add unreachable "$net.0/24" && echo "$net.0/24" >"$DIR/route"; }
    for side in laptop cluster; do exists $side || ip netns add "$NAME-$side"; done
    ${CC:-cc} -O2 -Wall -Wextra -o "$DIR/wire" "$HERE/netns_wire/wire.c"
    echo "$GOOD" >"$DIR/control"
    setsid "$DIR/wire" "$NAME-laptop" "$net.1/24" "$NAME-cluster" "$net.2/24" "$DIR/control" "$DIR/applied" \
        </dev/null >"$DIR/log" 2>&1 &
    echo $! >"$DIR/wire.pid"
    await up_in laptop
    await up_in cluster
    await applied
}
stop() {
    local pid side
    if pid=$(wire_pid); then end "$pid"; fi
    end $(inside)
    for side in laptop cluster; do ! exists $side || ip netns del "$NAME-$side"; done
    [ ! -e "$DIR/route" ] || ip route del unreachable "$(cat "$DIR/route")" 2>/dev/null || true
    rm -f "$DIR"/{route,wire.pid}
}
setting() { # setting FIELD VALUE: changes one field of the control file
    case ${2:-} in '' | *[!0-9.]*) die "a number is missing" ;; esac
    control "$(awk -v field="$1" -v value="$2" '{ $field = value; print }' "$DIR/control")"
}
control() { # control LINE: returns when the wire obeys
    wire_pid >/dev/null || die "not started"
    echo "$1" >"$DIR/control.new"
    mv "$DIR/control.new" "$DIR/control"
    await applied
}
case $1 in
start) start ;;
stop) stop ;;
pids) { wire_pid || true; inside; } | sort -nu ;;
left) inside ;;
cut) setting 4 1 ;;
heal) setting 4 0 ;;
down | up) ip -n "$NAME-laptop" link set wire "$1" ;;
delay) setting 1 "${3:-}" ;;
rate) setting 2 "${3:-}" ;;
loss) setting 3 "${3:-}" ;;
queue) setting 5 "${3:-}" ;;
reset)
    ip -n "$NAME-laptop" link set wire up
    control "$GOOD"
    ;;
exec)
    [ $# -ge 4 ] || die "usage: netns.sh exec DIR laptop|cluster COMMAND..."
    namespace=/run/netns/$NAME-$3
    shift 3
    exec nsenter "--net=$namespace" -- "$@" # not `ip netns exec`: that hides /sys/fs/cgroup, without which slurmd ends
    ;;
*) die "unknown verb $1" ;;
esac
