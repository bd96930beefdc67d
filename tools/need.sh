#!/bin/sh
# `tools/need.sh PROOF PACKAGE`: installs a Debian package when the command that proves it fails, where that may be done without a
# password. That it could not be is told and no failure: what needs the package says more.
eval "$1" >/dev/null 2>&1 && exit 0
sudo=""
[ "$(id -u)" = 0 ] || sudo="sudo -n"
if command -v apt-get >/dev/null 2>&1; then
    export DEBIAN_FRONTEND=noninteractive
    $sudo apt-get install -y -qq "$2" </dev/null && exit 0
    $sudo apt-get update -qq && $sudo apt-get install -y -qq "$2" </dev/null && exit 0
fi
echo "farcell: $2 is missing and could not be installed" >&2
