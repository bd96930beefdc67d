#!/usr/bin/env bash
# A private PostgreSQL server for tests: a cluster of its own in DIR, reached by the Unix socket there, by password only.
#
#   postgres.sh start  DIR   make the cluster if there is none, start it (idempotent)
#   postgres.sh stop   DIR   stop it; the data stay, and `start` brings it back (a database that is gone for a while)
#   postgres.sh pids   DIR   the server and its processes
#   postgres.sh left   DIR   what clients left behind: connections that are open still are no processes of tests, so nothing
#   postgres.sh sql    DIR DATABASE STATEMENT
#
# Environment, read when the cluster is made: PG_LISTEN, an address besides the socket (none)
#
# As root the server runs as the account postgres, which its package makes: it refuses to be root.
set -euo pipefail
die() { echo "postgres.sh: $*" >&2; exit 1; }
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
. "$HERE/processes.sh"

[ $# -ge 2 ] || die "usage: postgres.sh start|stop|pids|left|sql DIR"
[ -d "$2" ] || { [ "$1" != start ] && exit 0 || mkdir -p "$2"; }
DIR=$(cd "$2" && pwd -P)
BIN=$(dirname "$(command -v initdb || ls /usr/lib/postgresql/*/bin/initdb 2>/dev/null | tail -n 1)")
BIN=$(dirname "$(readlink -f "$BIN/initdb")")

as_owner() {
    if [ "$(id -u)" = 0 ]; then
        (cd / && setpriv --reuid postgres --regid postgres --clear-groups -- "$@")
    else
        "$@"
    fi
}
server() {
    local pid
    pid=$(head -n 1 "$DIR/data/postmaster.pid" 2>/dev/null) || return 1
    grep -qzF "$DIR/data" "/proc/$pid/cmdline" 2>/dev/null || return 1
    echo "$pid"
}
make_cluster() {
    local owner
    owner=$(as_owner id -u)
    (umask 077 && od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$DIR/password")
    install -d -m 700 -o "$owner" "$DIR/data"
    install -d -m 755 -o "$owner" "$DIR/socket"
    install -m 600 -o "$owner" "$DIR/password" "$DIR/data.password"
    as_owner "$BIN/initdb" -D "$DIR/data" -U farcell --auth=scram-sha-256 --pwfile="$DIR/data.password" -E UTF8 --locale=C \
        >"$DIR/initdb.log" 2>&1 || die "initdb: $(tail -3 "$DIR/initdb.log")"
    cat >>"$DIR/data/postgresql.conf" <<CONF
listen_addresses = '${PG_LISTEN:-}'
unix_socket_directories = '$DIR/socket'
max_connections = 100
shared_buffers = 32MB
log_min_messages = warning
CONF
    [ -z "${PG_LISTEN:-}" ] || echo "host all all samenet scram-sha-256" >>"$DIR/data/pg_hba.conf"
}
start() {
    ! server >/dev/null || return 0
    [ -d "$DIR/data" ] || make_cluster
    as_owner "$BIN/pg_ctl" -D "$DIR/data" -w -t 60 -l "$DIR/data/server.log" start >/dev/null </dev/null ||
        die "it does not start: $(tail -3 "$DIR/data/server.log")"
}
stop() {
    server >/dev/null || return 0
    as_owner "$BIN/pg_ctl" -D "$DIR/data" -m immediate -w -t 30 stop >/dev/null
}
sql() { PGPASSWORD=$(cat "$DIR/password") "$BIN/psql" -qtAX -v ON_ERROR_STOP=1 -h "$DIR/socket" -U farcell -d "$1" -c "$2"; }

case $1 in
start) start ;;
stop) stop ;;
pids) ! pid=$(server) || { echo "$pid"; descendants "$pid"; } ;;
left) ;;
sql) sql "$3" "$4" ;;
*) die "unknown verb $1" ;;
esac
