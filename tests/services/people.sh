#!/bin/sh
# Unix accounts of the tests' own: `people.sh start|pids|left|purge FOLDER`. All their names begin with the folder's; no other account
# is ever touched. PEOPLE: names of accounts with homes in FOLDER/homes; POOL: of those with homes in FOLDER/pool.
set -eu
verb=$1 folder=$2
prefix=${folder##*/}
case $folder in /tmp/fcs-????????) ;; *) echo "not a folder of the tests': $folder" >&2; exit 1 ;; esac

ours() { getent passwd | cut -d: -f1 | grep "^$prefix-" || true; }
pids() {
    for name in $(ours); do
        for pid in $(pgrep -U "$name" || true) $(pgrep -u "$name" || true); do
            case $(cut -d' ' -f3 "/proc/$pid/stat" 2>/dev/null) in '' | Z) ;; *) echo "$pid" ;; esac
        done
    done | sort -u
}

add() { # NAME HOME
    tries=0 # another test run may be adding one
    until useradd --no-create-home --user-group --home-dir "$2" --shell /bin/bash -K SUB_UID_COUNT=0 -K SUB_GID_COUNT=0 "$1"; do
        tries=$((tries + 1))
        [ $tries -lt 20 ] || exit 1
        sleep 0.3
    done
    mkdir "$2"
    chown "$1:$1" "$2"
    chmod 700 "$2"
}

case $verb in
start)
    mkdir -p "$folder/homes" "$folder/pool"
    chmod 711 "$folder/homes" "$folder/pool"
    touch "$folder/pool/.farcell-pool"
    for each in $PEOPLE; do add "$prefix-$each" "$folder/homes/$prefix-$each"; done
    for each in $POOL; do add "$prefix-$each" "$folder/pool/$prefix-$each"; done
    ;;
pids | left) pids ;;
purge)
    for pid in $(pids); do kill -9 "$pid" 2>/dev/null || true; done
    rm -f "/etc/sudoers.d/$prefix" "/etc/sudoers.d/$prefix"-*
    for name in $(ours); do
        tries=0
        until userdel -f "$name" 2>/dev/null; do
            tries=$((tries + 1))
            [ $tries -lt 20 ] || { echo "$name cannot be removed" >&2; exit 1; }
            sleep 0.3
        done
        find /tmp /var/tmp /dev/shm -maxdepth 1 -nouser -name "$prefix*" -exec rm -rf {} + 2>/dev/null || true
    done
    ;;
*) exit 2 ;;
esac
