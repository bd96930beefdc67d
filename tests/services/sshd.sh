#!/usr/bin/env bash
# A private OpenSSH server for tests. Nothing under /etc/ssh is read or changed, no systemd is needed.
#
#   sshd.sh start  DIR   start it (idempotent); afterwards `ssh -F DIR/ssh_config gpu-user COMMAND` works
#   sshd.sh stop   DIR   stop it and every process of its sessions
#   sshd.sh pids   DIR   the listener, its sessions, and all that sessions started and that still lives
#   sshd.sh left   DIR   of those, what sessions left behind: processes of no session
#   sshd.sh drop   DIR   kill all sessions, keep the listener (a connection that dies)
#   sshd.sh freeze DIR   SIGSTOP listener and sessions (a server that no longer answers)
#   sshd.sh thaw   DIR   SIGCONT them
#   sshd.sh purge  DIR   stop, and remove the accounts made
#
# Port and keys are kept over stop and start, so that a client may reconnect. Without root there is one account, one's own, under all aliases.
# Environment, read at start:
#   SSHD_LISTEN   address to listen on                                     (127.0.0.1)
#   SSHD_USER     ordinary account, made if missing: alias gpu-user        (fct-user)
#   SSHD_OTHER    a further account: alias gpu-other                       (none)
#   SSHD_SHELL    login shell of that one                                  (/bin/sh)
#   SSHD_SETENV   'A=1 B=2' put in every session, no blanks in values      (none)
#   SSHD_EXTRA    more lines for sshd_config, before the script's own: the first of a kind counts
set -euo pipefail
die() { echo "sshd.sh: $*" >&2; exit 1; }
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
. "$HERE/processes.sh"

[ $# -eq 2 ] || die "usage: sshd.sh start|stop|pids|left|drop|freeze|thaw|purge DIR"
[ -d "$2" ] || { [ "$1" != start ] && exit 0 || mkdir -p "$2"; }
DIR=$(cd "$2" && pwd -P)
case $DIR in *[[:space:]\"]*) die "no blanks in DIR: sshd_config cannot quote them everywhere" ;; esac
[ ${#DIR} -le 40 ] || die "DIR is too long: a control socket's path under it may have 107 bytes"
SSHD=/usr/sbin/sshd

listener() { alive "$DIR/sshd.pid" "$DIR/sshd_config"; }
servers() { # the listener $1 and its sessions' daemons, without what runs in the sessions
    local pid
    for pid in "$1" $(descendants "$1"); do
        # From OpenSSH 9.8 on, sessions run other programs than the listener.
        case $(readlink "/proc/$pid/exe" 2>/dev/null) in */sshd | */sshd-session | */sshd-auth) echo "$pid" ;; esac
    done
}
sessions() { servers "$1" | grep -vx "$1" || true; }
started_in_sessions() { with_variables "FARCELL_TEST_SSHD=$DIR"; }
left() { # daemonised, or orphaned when their session died
    local pid
    pid=$(listener) || { started_in_sessions; return; }
    comm -23 <(started_in_sessions | sort) <(descendants "$pid" | sort)
}

add_account() { # add_account NAME SHELL, if it is not there
    ! id "$1" >/dev/null 2>&1 || return 0
    mkdir -p "$DIR/home"
    useradd -m -d "$DIR/home/$1" -s "$2" "$1"
    usermod -p '*' "$1" # no password; useradd's '!' would count as a locked account
    echo "$1" >>"$DIR/accounts"
}
keys() { # how sshd finds the key that may log in
    if [ "$(id -u)" = 0 ]; then
        # One for all accounts, read by root.
        echo "AuthorizedKeysFile none"
        echo "AuthorizedKeysCommand /bin/cat $DIR/authorized_keys"
        echo "AuthorizedKeysCommandUser root"
    else
        echo "AuthorizedKeysFile $DIR/authorized_keys"
    fi
}
write_sshd_config() { # write_sshd_config PORT
    cat >"$DIR/sshd_config" <<CONF
${SSHD_EXTRA:-}
Port $1
ListenAddress $address
HostKey $DIR/host_key
PidFile $DIR/sshd.pid
AuthenticationMethods publickey
PubkeyAuthentication yes
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
$(keys)
StrictModes no
UsePAM no
UseDNS no
PrintMotd no
X11Forwarding no
AllowTcpForwarding yes
AllowStreamLocalForwarding yes
StreamLocalBindUnlink yes
AcceptEnv LANG LC_*
SetEnv FARCELL_TEST_SSHD=$DIR ${SSHD_SETENV:-}
Subsystem sftp internal-sftp
CONF
    # Newer servers refuse an address for a while after failed logins, which are what tests do.
    sed 's/^Port .*/&\nPerSourcePenalties no/' "$DIR/sshd_config" >"$DIR/sshd_config.new"
    ! "$SSHD" -t -f "$DIR/sshd_config.new" 2>/dev/null || cp "$DIR/sshd_config.new" "$DIR/sshd_config"
    rm "$DIR/sshd_config.new"
}
write_ssh_config() { # write_ssh_config PORT
    local other=${SSHD_OTHER:-$user}
    [ "$(id -u)" = 0 ] || other=$user
    echo "[$address]:$1 $(cut -d' ' -f1,2 "$DIR/host_key.pub")" >"$DIR/known_hosts"
    cat >"$DIR/ssh_config" <<CONF
Host gpu-root gpu-root-mux
    User $(id -un)
Host gpu-user gpu-user-mux
    User $user
Host gpu-other gpu-other-mux
    User $other
Host *-mux
    ControlMaster auto
    ControlPath $DIR/control/%C
    ControlPersist 300
Host gpu-*
    HostName $address
    Port $1
    IdentityFile $DIR/client_key
    IdentitiesOnly yes
    IdentityAgent none
    UserKnownHostsFile $DIR/known_hosts
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
    UpdateHostKeys no
    CheckHostIP no
    BatchMode yes
    ConnectTimeout 10
    LogLevel ERROR
CONF
}
launch() { # launch PORT: 0 when it listens there, 1 when the port is taken
    ! listening "$address" "$1" || return 1
    write_sshd_config "$1"
    : >"$DIR/sshd.log"
    rm -f "$DIR/sshd.pid"
    "$SSHD" -t -f "$DIR/sshd_config" || die "bad sshd_config"
    "$SSHD" -f "$DIR/sshd_config" -E "$DIR/sshd.log" </dev/null
    for _ in $(seq 200); do
        if listener >/dev/null && listening "$address" "$1"; then return 0; fi
        ! grep -q 'Cannot bind any address' "$DIR/sshd.log" || return 1
        sleep 0.02
    done
    die "sshd does not listen: $(tail -3 "$DIR/sshd.log")"
}
start() {
    local port address=${SSHD_LISTEN:-127.0.0.1} user=${SSHD_USER:-fct-user}
    ! listener >/dev/null || return 0
    [ -x "$SSHD" ] || die "$SSHD is missing"
    chmod 755 "$DIR"
    mkdir -p -m 700 "$DIR/control"
    [ -f "$DIR/host_key" ] || ssh-keygen -q -t ed25519 -N '' -C test-host -f "$DIR/host_key"
    [ -f "$DIR/client_key" ] || ssh-keygen -q -t ed25519 -N '' -C test-client -f "$DIR/client_key"
    install -m 644 "$DIR/client_key.pub" "$DIR/authorized_keys"
    if [ "$(id -u)" = 0 ]; then
        install -d -m 755 /run/sshd # sshd's own, which its package makes at boot
        add_account "$user" /bin/bash
        [ -z "${SSHD_OTHER:-}" ] || add_account "$SSHD_OTHER" "${SSHD_SHELL:-/bin/sh}"
    else
        user=$(id -un)
    fi
    if port=$(cat "$DIR/port" 2>/dev/null); then
        launch "$port" || die "port $port is taken by now"
    else
        for _ in $(seq 20); do
            port=$((20000 + RANDOM % 12768)) # below the ports that the kernel gives to clients
            ! launch "$port" || break
        done
        listener >/dev/null || die "no free port found: $(tail -3 "$DIR/sshd.log")"
        echo "$port" >"$DIR/port"
    fi
    write_ssh_config "$port"
}
close_masters() { # clients that keep a shared connection open; they run here, not in a session
    local socket
    for socket in "$DIR"/control/*; do
        [ ! -S "$socket" ] || timeout 2 ssh -F none -o ControlPath="$socket" -O exit host >/dev/null 2>&1 || true
    done
}
drop() {
    local pids
    pids=$(sessions "$1")
    [ -z "$pids" ] || kill -KILL $pids 2>/dev/null || true
}
thaw() { kill -CONT $(servers "$1"); }
stop() {
    local pid
    if pid=$(listener); then
        thaw "$pid"
        close_masters
        end "$pid" $(descendants "$pid")
    else
        close_masters
    fi
    end $(started_in_sessions)
    rm -f "$DIR/sshd.pid"
}
purge() {
    local name
    stop
    for name in $(cat "$DIR/accounts" 2>/dev/null); do userdel -f "$name" 2>/dev/null; done
    rm -f "$DIR/accounts"
}
case $1 in
start) start ;;
stop) stop ;;
pids) { ! pid=$(listener) || { echo "$pid"; descendants "$pid"; }; started_in_sessions; } | sort -nu ;;
left) close_masters; left ;;
drop) pid=$(listener) || die "not running"; drop "$pid" ;;
freeze) pid=$(listener) || die "not running"; kill -STOP $(servers "$pid") ;;
thaw) pid=$(listener) || die "not running"; thaw "$pid" ;;
purge) purge ;;
*) die "unknown verb $1" ;;
esac
