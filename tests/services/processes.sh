# Sourced by the scripts beside it: finding and ending the processes that belong to a service.

alive() { # alive PIDFILE WORD: the pid in it, if that process has WORD in its command line (pids are used again)
    local pid
    pid=$(cat "$1" 2>/dev/null) || return 1
    [ -n "$pid" ] && [ -r "/proc/$pid/cmdline" ] || return 1
    tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF -- "$2" || return 1
    echo "$pid"
}
descendants() { # all that pid $1 started, children before their own children
    local child
    for child in $(cat "/proc/$1"/task/*/children 2>/dev/null); do
        echo "$child"
        descendants "$child"
    done
}
with_variables() { # the processes that have each of the words NAME=VALUE in their environment, however they were daemonised
    local word files=(/proc/[0-9]*/environ)
    for word in "$@"; do
        mapfile -t files < <(grep -lzxF -- "$word" "${files[@]}" 2>/dev/null)
        [ ${#files[@]} -gt 0 ] || return 0
    done
    printf '%s\n' "${files[@]}" | cut -d/ -f3
}
running() { # those of the pids $@ that live; a zombie is its parent's business
    local pid
    for pid in "$@"; do
        case $(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null) in [A-Y]*) echo "$pid" ;; esac
    done
}
end() { # TERM, up to 3 s, then KILL and wait: afterwards none of the pids $@ lives
    local turn
    [ $# -gt 0 ] || return 0
    kill -CONT "$@" 2>/dev/null || true
    kill -TERM "$@" 2>/dev/null || true
    for turn in $(seq 160); do
        [ -n "$(running "$@")" ] || return 0
        [ "$turn" != 60 ] || kill -KILL "$@" 2>/dev/null || true
        sleep 0.05
    done
    die "not ended: $(running "$@")"
}
listening() { (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null; }
