"""What is run on the other machine: POSIX shell scripts, read by `sh` from stdin, so that the login shell may be any and nothing
stands in an argument list. What a login shell prints by itself is told apart by a mark that each script has of its own.

Each script is one function, called in its last line: `sh` has read all of it before the first command reads stdin.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from farcell_host.bundle import OLDEST, TOO_OLD

SEND = "send"
HOST = "host"
"""The name of the kernel host's bytes."""
WHEELS = "wheels"
"""The name of the bytes that `receive_wheels` reads."""
ERROR = "error"
PYTHON = "python"
"""Which command line for Python was taken."""
PYZ = "pyz"
ENVIRONMENT = "environment"
"""What the kernel host's own `environment` command says, as JSON."""
PYTHONS = ("python3", "python3.13", "python3.12", "python3.11", "python3.10")
"""Looked for in this order where the target names none: the first that is not too old is taken."""

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
farcell_say pyz "$pyz"
"""

_TRY = """\
farcell_say python {shown}
{run} "$pyz" "$@"{stdin}
code=$?
case $code in
  {too_old}) old="$old, "{shown} ;;
  126|127) none="$none, "{shown} ;;
  *) exit $code ;;
esac
"""

_NO_PYTHON = """\
[ -z "$old" ] || farcell_fail "${{old#, }} is older than Python {oldest}. Set python of the target to a newer one."
farcell_fail "${{none#, }} cannot be run there (exit code $code). Set python of the target to one that can."
"""

KILLS = (
    "busctl get-property org.freedesktop.login1 /org/freedesktop/login1 "
    "org.freedesktop.login1.Manager KillUserProcesses 2>/dev/null"
)
"""Says `b true` where logind ends what a login leaves running (logind.conf(5))."""
SCOPE = "systemd-run --user --scope --quiet --"
"""What runs so belongs to the user's own systemd and not to the login; it goes on while that does (enable-linger)."""
LINGERS = 'loginctl show-user "$(id -un)" --property=Linger --value 2>/dev/null'
ENDED = "ended-with-login"
"""Said by `launch` where a session ends with the last login."""

_SCOPE = f"""\
farcell_scope=
if [ "$({KILLS})" = "b true" ]; then
  if {SCOPE} true > /dev/null 2>&1 < /dev/null; then farcell_scope="{SCOPE}"; fi
  if [ -z "$farcell_scope" ] || [ "$({LINGERS})" != yes ]; then farcell_say {ENDED}; fi
fi
"""

_IS_THERE = """\
runtime="${FARCELL_RUNTIME_DIR:-/tmp/farcell-$(id -u)}"
set -- "$runtime"/*/host.json
if [ ! -f "$1" ]; then
  farcell_say run
  exit 0
fi
"""

_LEFT = """\
cache={cache} state={state} jobs=
runtime="${{FARCELL_RUNTIME_DIR:-/tmp/farcell-$(id -u)}}"
if [ ! -d "$cache" ] && [ ! -d "$runtime" ] && [ ! -d "${{state:-/dev/null}}" ]; then
  farcell_say run
  exit 0
fi
if command -v squeue > /dev/null 2>&1; then
  jobs=$(squeue --noheader --user="$(id -un)" --format=%j 2>/dev/null) || jobs=${{state:+unknown}}
  jobs=$(printf '%s' "$jobs" | tr '\\n' ' ')
fi
"""

_PYTHON = """\
farcell_said=$({python} "$pyz" environment make --cache "$cache" --shown {shown} {options} 2>&1 > /dev/null < /dev/null)
code=$?
case $code in
  0) ;;
  {too_old}) farcell_fail {shown} "is older than Python {oldest}. Set python of the target to a newer one." ;;
  126|127) farcell_fail {shown} "cannot be run there (exit code $code). Set python of the target to one that can." ;;
  *) farcell_fail "${{farcell_said#farcell: }}" ;;
esac
"""

_OLDEST = ".".join(map(str, OLDEST))
_RUNTIME = '"${{FARCELL_RUNTIME_DIR:-/tmp/farcell-$(id -u)}}/{session}"'


@dataclass(frozen=True)
class Place:
    """What each script does first on a target: its folder, its kernel host (a zipapp), its set-up, its Python."""

    digest: str
    size: int
    """Of the zipapp, which a script asks for by `send host` where it lacks."""
    python: str | None = None
    """A command line; None: whichever of PYTHONS will do."""
    setup: Sequence[str] = ()
    """Commands that run first, in the same shell."""
    env: Mapping[str, str] = field(default_factory=dict)
    cache: str | None = None


def framed(mark: str, body: str) -> str:
    return _FRAME.format(mark=mark, body=body)


def launch(mark: str, place: Place, environment: Sequence[str], session: str, options: Sequence[str]) -> str:
    """Starts a kernel host in the runtime folder named `session`, with a Python that `environment make` finds or makes there.

    `environment` are further options of that. From its last line on, output is that of `launch`.
    """
    runtime = _RUNTIME.format(session=session)
    then = f"--then launch --runtime {runtime} {shlex.join(options)}"
    return _on(mark, place, "make", environment, then, outlives_login=True)


def make_environment(mark: str, place: Place, options: Sequence[str] = ()) -> str:
    """Ends with the Python to use, found or made."""
    return _on(mark, place, "make", options)


def describe(mark: str, place: Place, options: Sequence[str] = ()) -> str:
    """Says what the target's Python and its machine are, and what `make` with these options would find."""
    return _on(mark, place, "describe", options)


def receive_wheels(mark: str, place: Place) -> str:
    """Asks for them by `send wheels` (farcell_host's `received.py` says in which form)."""
    return _on(mark, place, "receive", sends=WHEELS)


def add_packages(mark: str, place: Place, options: Sequence[str], requirements: Sequence[str]) -> str:
    """Installs these from the wheels that were sent."""
    return _on(mark, place, "add", [*options, *requirements])


def _on(
    mark: str,
    place: Place,
    command: str,
    options: Sequence[str] = (),
    then: str = "",
    sends: str | None = None,
    outlives_login: bool = False,
) -> str:
    """A command of `host.pyz environment`, with the place's Python; bytes that it reads are asked for as `sends`."""

    def arguments(shown: str) -> str:
        named = "" if command == "receive" else f" --shown {shown}"
        return f'environment {command} --cache "$cache" --mark {mark}{named} {shlex.join(options)} {then}'

    parts = [folder_part(place.cache), ship_part(place.digest, place.size), setup_part(place.setup), *exported(place.env)]
    if sends is not None:
        parts.append(f"farcell_say {SEND} {sends}\n")
    if outlives_login:
        parts.append(scope_part())
    parts.append(_with_a_python(place, arguments, "" if sends else " < /dev/null", outlives_login))
    return framed(mark, "".join(parts))


def ask(mark: str, place: Place, arguments: Sequence[str]) -> str:
    """One of the kernel host's commands about the sessions of a machine, whose output is all that follows the last mark.

    Nothing is written and no Python started where there is no session; any Python that is not too old will do.
    """
    parts = [setup_part(place.setup), *exported(place.env), _IS_THERE]
    parts += [folder_part(place.cache), ship_part(place.digest, place.size), "farcell_say run\n"]
    return framed(mark, "".join([*parts, _with_a_python(place, lambda shown: shlex.join(arguments), " < /dev/null")]))


def host_here(mark: str, place: Place, arguments: Sequence[str]) -> str:
    """As `ask`, of the machine and not of its sessions: also where there is none."""
    parts = [setup_part(place.setup), *exported(place.env), folder_part(place.cache), ship_part(place.digest, place.size)]
    return framed(
        mark, "".join([*parts, "farcell_say run\n", _with_a_python(place, lambda shown: shlex.join(arguments), " < /dev/null")])
    )


def leftovers(mark: str, place: Place, state: str, arguments: Sequence[str]) -> str:
    """What farcell has left there, by its own command (its lines are all that follows the last mark); nothing is written where it
    has left nothing. `state`: a word of the shell, the folder of jobs, or an empty one."""
    parts = [setup_part(place.setup), *exported(place.env), _LEFT.format(cache=cache_folder(place.cache), state=state)]
    parts += [folder_part(place.cache), ship_part(place.digest, place.size), "farcell_say run\n"]
    words = (
        f'leftovers --cache "$cache" ${{state:+--state "$state"}} --current {place.digest} --jobs "$jobs" {shlex.join(arguments)}'
    )
    return framed(mark, "".join([*parts, _with_a_python(place, lambda shown: words, " < /dev/null")]))


def exported(env: Mapping[str, str]) -> list[str]:
    return [f"export {name}={shlex.quote(value)}\n" for name, value in env.items()]


def _with_a_python(place: Place, arguments: Callable[[str], str], redirected: str, is_scoped: bool = False) -> str:
    """Has the first of the place's Pythons that is not too old run the kernel host. `arguments(its name)`: words of the shell.

    `is_scoped`: in `$farcell_scope`, which reports the shell's exit code and not one of its own for a Python that is not there.
    """
    parts = ["old= none=\n"]
    for python in PYTHONS if place.python is None else (place.python,):
        shown = shlex.quote(python)
        parts.append(f"set -- {arguments(shown)}\n")
        run = "$farcell_scope sh -c " + shlex.quote(f'exec {python} "$0" "$@"') if is_scoped else python
        parts.append(_TRY.format(run=run, shown=shown, too_old=TOO_OLD, stdin=redirected))
    parts.append(_NO_PYTHON.format(oldest=_OLDEST))
    return "".join(parts)


def folder_part(cache: str | None) -> str:
    """Has the cache's folder in `$cache`."""
    return _FOLDER.format(cache=cache_folder(cache))


def ship_part(digest: str, size: int) -> str:
    """Has the kernel host in `$pyz`."""
    return _SHIP.format(digest=digest, size=size)


def scope_part() -> str:
    """Has in `$farcell_scope` what a command begins with that is to outlive its login; nothing where it does anyhow."""
    return _SCOPE


def setup_part(setup: Sequence[str]) -> str:
    if not setup:
        return ""
    # `module` and the like are functions that a login shell has
    parts = ["[ ! -r /etc/profile ] || . /etc/profile > /dev/null 2>&1\n"]
    parts += [f"{{ {each}\n}} 1>&2 || farcell_fail {shlex.quote(f'The setup command failed: {each}')}\n" for each in setup]
    return "".join(parts)


def python_part(python: str, options: Sequence[str]) -> str:
    """Has an environment for it in `$cache` where one is needed (`options` of `environment make`), and says what is wrong."""
    shown = shlex.quote(python)
    return _PYTHON.format(python=python, shown=shown, options=shlex.join(options), too_old=TOO_OLD, oldest=_OLDEST)


def with_python(python: str, options: Sequence[str], command: str) -> str:
    """A command of the kernel host's in the shell's own place, run by that Python or its environment; words of the shell."""
    return f'exec {python} "$pyz" environment make --cache "$cache" {shlex.join(options)} --then {command}\n'


def cache_folder(cache: str | None) -> str:
    """As a word of the shell."""
    return shlex.quote(cache) if cache else '"${XDG_CACHE_HOME:-$HOME/.cache}/farcell"'


def host_command(mark: str, python: str, pyz: str, *arguments: str) -> str:
    """One of the kernel host's own commands; its output is all that follows `run`."""
    return framed(mark, f"farcell_say run\n{python} {shlex.quote(pyz)} {shlex.join(arguments)} < /dev/null\nexit $?\n")


def attach(mark: str, python: str, pyz: str, runtime: str) -> str:
    """Ends in the bridge: from `run` on, stdin and stdout are the kernel host's."""
    return framed(mark, f"farcell_say run\nexec {python} {shlex.quote(pyz)} attach --runtime {shlex.quote(runtime)}\n")


def trunk(mark: str, python: str, pyz: str, env: Mapping[str, str], tells_hosts: bool) -> str:
    """Ends in the bridge to many kernel hosts, which says `run` by itself."""
    options = ["--mark", mark, *(["--hosts"] if tells_hosts else [])]
    command = f"exec {python} {shlex.quote(pyz)} trunk {shlex.join(options)}"
    return framed(mark, "\n".join([*exported(env), command]) + "\n")
