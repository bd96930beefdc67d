#!/bin/sh
# `tools/need.sh [--service] PROOF PACKAGE...`: installs Debian packages, all in one call, when the command that proves them fails, where
# that may be done without a password. That it could not be is told and no failure: what needs the packages says more.
#
# --service: packages that bring daemons, for tests that start their own. Only as root where no systemd runs (a container), since elsewhere
# the machine's owner would find new servers running; without what they recommend (openssh-server: systemd's login service).
service="" sudo="" options=""
[ "$1" != --service ] || { service=yes; options=--no-install-recommends; shift; }
proof=$1
shift
eval "$proof" >/dev/null 2>&1 && exit 0
if [ -n "$service" ] && { [ "$(id -u)" != 0 ] || [ -d /run/systemd/system ]; }; then
    echo "farcell: $* not installed: that is done only as root where no systemd runs" >&2
    exit 0
fi
[ "$(id -u)" = 0 ] || sudo="sudo -n"

# Two test runs may come here together: apt fails when another one is at work, and the second finds all done.
lock=/run/farcell-need.lock
[ -w /run ] || lock=${TMPDIR:-/tmp}/farcell-need.$(id -u).lock
exec 9>"$lock"
flock 9
eval "$proof" >/dev/null 2>&1 && exit 0

policy=/usr/sbin/policy-rc.d # what packages ask before they start a daemon of theirs; 101: it may not
if [ -n "$service" ] && [ ! -e $policy ]; then
    trap 'rm -f $policy' EXIT
    printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy
fi
install() { $sudo apt-get install -y -qq $options "$@" </dev/null 9>&-; }
if command -v apt-get >/dev/null 2>&1; then
    export DEBIAN_FRONTEND=noninteractive
    install "$@" && exit 0
    $sudo apt-get update -qq 9>&- && install "$@" && exit 0
fi
echo "farcell: $* missing and could not be installed" >&2
exit 0
