"""What is run on the other machine: POSIX shell scripts, read by `sh` from stdin, so that the login shell may be any and nothing
stands in an argument list. What a login shell prints by itself is told apart by a mark that each script has of its own.

Each script is one function, called in its last line: `sh` has read all of it before the first command reads stdin.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

SEND = "send"
HOST = "host"
"""The name of the kernel host's bytes."""
ERROR = "error"
_CHECK = "import sys, importlib.util as u; sys.exit(3 if sys.version_info < (3, 10) else 0 if u.find_spec('ipykernel') else 4)"

_FRAME = """\
farcell_say() {{ printf '%s %s\\n' {mark} "$*"; }}
farcell_fail() {{ farcell_say error "$*"; exit 9; }}
farcell_main() {{
printf '\\n'
{body}
}}
farcell_main
"""

_FOLDER = """\
cache={cache}
umask 077
mkdir -p "$cache" 2>/dev/null || \\
  farcell_fail "The folder $cache cannot be made: set cache_dir of the target to one that can be written."
"""

_SHIP = """\
pyz="$cache/host-{digest}.pyz"
if [ ! -f "$pyz" ]; then
  farcell_say send host
  head -c {size} > "$pyz.$$" 2>/dev/null
  if [ "$(wc -c < "$pyz.$$" | tr -d ' ')" != {size} ]; then
    rm -f "$pyz.$$"
    farcell_fail "The kernel host could not be written into $cache: is the disk or the quota full?" \\
      "Set cache_dir of the target to another folder."
  fi
  mv -f "$pyz.$$" "$pyz"
fi
"""

_PYTHON = """\
farcell_python() {{ {python} "$@"; }}
farcell_python -c {check} < /dev/null; found=$?
case $found in
  0) ;;
  3) farcell_fail {shown} "is older than Python 3.10. Set python of the target to a newer one." ;;
  4) farcell_fail {shown} "has no ipykernel. There: "{shown} "-m pip install ipykernel" ;;
  *) farcell_fail {shown} "cannot be run there (exit code $found). Set python of the target to one that can." ;;
esac
"""

_ASK = """\
runtime="${{FARCELL_RUNTIME_DIR:-/tmp/farcell-$(id -u)}}"
set -- "$runtime"/*/host.json
if [ ! -f "$1" ]; then
  farcell_say run
  exit 0
fi
{ready}farcell_say pyz "$pyz"
farcell_say run
farcell_python "$pyz" {arguments} < /dev/null
exit $?
"""

_LAUNCH = """\
runtime="${{FARCELL_RUNTIME_DIR:-/tmp/farcell-$(id -u)}}/{session}"
farcell_say pyz "$pyz"
farcell_say launch
farcell_python "$pyz" launch --runtime "$runtime" {options} < /dev/null
exit $?
"""


def framed(mark: str, body: str) -> str:
    return _FRAME.format(mark=mark, body=body)


def launch(
    mark: str,
    session: str,
    digest: str,
    size: int,
    python: str,
    options: Sequence[str],
    env: Mapping[str, str],
    setup: Sequence[str] = (),
    cache: str | None = None,
) -> str:
    """Puts the kernel host (a zipapp of `size` bytes, asked for by `send host` where it lacks) into the cache and starts it.

    `python` is a command line; `session` the name of the runtime folder; `setup` commands run first, in the same shell.
    """
    parts = [folder_part(cache), ship_part(digest, size), setup_part(setup)]
    parts += [f"export {name}={shlex.quote(value)}\n" for name, value in env.items()]
    parts.append(python_part(python))
    parts.append(_LAUNCH.format(session=session, options=shlex.join(options)))
    return framed(mark, "".join(parts))


def ask(
    mark: str,
    digest: str,
    size: int,
    python: str,
    arguments: Sequence[str],
    env: Mapping[str, str],
    setup: Sequence[str] = (),
    cache: str | None = None,
) -> str:
    """One of the kernel host's commands about the sessions of a machine, whose output is all that follows `run`. Nothing is
    written and no Python started where there is no session; else the kernel host is sent as for `launch`."""
    ready = [folder_part(cache), ship_part(digest, size), python_part(python)]
    exported = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in env.items())
    return framed(mark, setup_part(setup) + exported + _ASK.format(ready="".join(ready), arguments=shlex.join(arguments)))


def folder_part(cache: str | None) -> str:
    """Has the cache's folder in `$cache`."""
    return _FOLDER.format(cache=cache_folder(cache))


def ship_part(digest: str, size: int) -> str:
    """Has the kernel host in `$pyz`."""
    return _SHIP.format(digest=digest, size=size)


def setup_part(setup: Sequence[str]) -> str:
    if not setup:
        return ""
    # `module` and the like are functions that a login shell has
    parts = ["[ ! -r /etc/profile ] || . /etc/profile > /dev/null 2>&1\n"]
    parts += [f"{{ {each}\n}} 1>&2 || farcell_fail {shlex.quote(f'The setup command failed: {each}')}\n" for each in setup]
    return "".join(parts)


def python_part(python: str) -> str:
    """Has `farcell_python` run it, once it is known to have what a kernel needs."""
    return _PYTHON.format(python=python, check=shlex.quote(_CHECK), shown=shlex.quote(python))


def cache_folder(cache: str | None) -> str:
    """As a word of the shell."""
    return shlex.quote(cache) if cache else '"${XDG_CACHE_HOME:-$HOME/.cache}/farcell"'


def host_command(mark: str, python: str, pyz: str, *arguments: str) -> str:
    """One of the kernel host's own commands; its output is all that follows `run`."""
    return framed(mark, f"farcell_say run\n{python} {shlex.quote(pyz)} {shlex.join(arguments)} < /dev/null\nexit $?\n")


def attach(mark: str, python: str, pyz: str, runtime: str) -> str:
    """Ends in the bridge: from `run` on, stdin and stdout are the kernel host's."""
    return framed(mark, f"farcell_say run\nexec {python} {shlex.quote(pyz)} attach --runtime {shlex.quote(runtime)}\n")
