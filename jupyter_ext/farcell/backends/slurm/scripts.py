"""What is run on a cluster's login node, and the script of a job. Everything secret goes by stdin into 0600 files."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from ..scripts import ERROR as ERROR
from ..scripts import folder_part, framed, python_part, setup_part, ship_part, with_python

ENVIRONMENT = "environment"
IDENTITY = "identity"
ABOUT = "about"
RUN = "run"
"""Names of what a submission asks for."""
WAIT_S = 10
_FILES = {ENVIRONMENT: "environment.sh", IDENTITY: "identity.pem", ABOUT: "about.json", RUN: "queued"}

_STATE = """\
state={state}
session="$state/sessions/{session}"
mkdir -p "$session" 2>/dev/null || \\
  farcell_fail "The folder $session cannot be made: set state_dir of the target to one that all nodes see and you can write."
farcell_say session "$session"
"""

_RECEIVE = """\
farcell_say send {name}
head -c {size} > "$session/{file}" 2>/dev/null
[ "$(wc -c < "$session/{file}" | tr -d ' ')" = {size} ] || \\
  farcell_fail "$session could not be written: is the disk or the quota full? Set state_dir of the target to another folder."
"""

_SUBMIT = """\
cat > "$session/job.sh" <<'FARCELL_JOB_ENDS'
{job}
FARCELL_JOB_ENDS
farcell_say submit
job=$(sbatch --output="$session/job.log" {options} "$session/job.sh" "$session" "$pyz")
code=$?
printf '%s\\n' "$job"
[ $code = 0 ] || exit $code
printf 'job %s\\npyz %s\\n' "$(printf '%s\\n' "$job" | tail -n 1 | cut -d ';' -f 1)" "$pyz" > "$session/job"
exit 0
"""

_JOB = """\
#!/bin/sh
umask 077
farcell_fail() {{ printf '%s\\n' "$*" > "$session/failed.new"; mv -f "$session/failed.new" "$session/failed"; exit 9; }}
session=$1 pyz=$2
cache=${{pyz%/*}}
rm -f "$session/rendezvous.json" "$session/failed" "$session/ended.json" "$session/state.json"
{setup}. "$session/environment.sh"
{python}{batch}"""

_WAIT = """\
session={session}
left={ticks}
while [ $left -gt 0 ]; do
  ls "$session" > /dev/null 2>&1
  for file in rendezvous.json failed; do
    if [ -s "$session/$file" ] && ! grep -q {stale} "$session/$file"; then
      farcell_say found "$file"
      cat "$session/$file"
      exit 0
    fi
  done
  [ -d "$session" ] || {{ farcell_say gone; exit 0; }}
  left=$((left - 1))
  sleep 0.2 2>/dev/null || {{ sleep 1; left=$((left - 4)); }}
done
farcell_say nothing
"""

_FOLDERS = """\
state={state}
farcell_say sessions
for session in "$state"/sessions/s-*; do
  [ -s "$session/job" ] || continue
  printf 'session %s\\n' "$session"
  cat "$session/job"
  for file in about.json rendezvous.json state.json ended.json; do
    [ ! -s "$session/$file" ] || printf '%s %s\\n' $file "$(cat "$session/$file")"
  done
  [ ! -d "$session/journal" ] || echo journal
done
"""

_RELEASE = """\
session={session}
[ -d "$session" ] || {{ farcell_say released; exit 0; }}
: > "$session/released"
scancel {job} 2>/dev/null
left=50
while [ $left -gt 0 ] && [ -n "$(squeue --noheader --jobs={job} 2>/dev/null)" ]; do
  left=$((left - 1))
  sleep 0.2 2>/dev/null || {{ sleep 1; left=$((left - 4)); }}
done
rm -rf "$session"
farcell_say released
"""


def submit(
    mark: str,
    session: str,
    host: tuple[str, int],
    sizes: Mapping[str, int],
    python: str,
    environment: Sequence[str],
    flags: Sequence[str],
    options: Sequence[str],
    setup: Sequence[str] = (),
    cache: str | None = None,
    state: str | None = None,
) -> str:
    """Puts the kernel host into the cache and a job into the queue. After `submit`, sbatch's own words follow.

    `host`: digest and size of the zipapp; `sizes`: of what goes into the session's folder; `environment` options of the command
    that finds a Python for the host, `flags` of the host, `options` of sbatch.
    """
    batch = with_python(python, environment, f'batch --session "$session" {shlex.join(flags)}')
    job = _JOB.format(setup=setup_part(setup), python=python_part(python, environment), batch=batch)
    parts = [
        folder_part(cache),
        ship_part(*host),
        _STATE.format(state=state_folder(state), session=session),
        *(_RECEIVE.format(name=name, size=size, file=_FILES[name]) for name, size in sizes.items()),
        _SUBMIT.format(job=job, options=shlex.join(options)),
    ]
    return framed(mark, "".join(parts))


def environment(variables: Mapping[str, str]) -> bytes:
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()).encode() or b"#\n"


def state_folder(state: str | None) -> str:
    """As a word of the shell: seen by all nodes."""
    return shlex.quote(state) if state else '"${XDG_STATE_HOME:-$HOME/.local/state}/farcell"'


def wait(mark: str, session: str, gone: int | None = None, seconds: int = WAIT_S) -> str:
    """Of the job's start after the one numbered `gone`, or of any: until its host has said where it is, or the job why not.

    `found FILE` and its content; `nothing` after so many seconds; `gone` where somebody seems to have ended it.
    """
    stale = shlex.quote("farcell: no such line" if gone is None else f'"restarts": {gone}[,}}]')
    return framed(mark, _WAIT.format(session=shlex.quote(session), ticks=5 * seconds, stale=stale))


def leave(mark: str, session: str, sizes: Mapping[str, int], again: bool) -> str:
    """A run into the folder of a job that waits; with `again` it is not used up when the job begins."""
    files = {name: f"{_FILES[name]}.new" for name in sizes}
    run = "queued-again" if again else _FILES[RUN]
    return framed(
        mark,
        f"umask 077\nsession={shlex.quote(session)}\n"
        + "".join(_RECEIVE.format(name=name, size=size, file=files[name]) for name, size in sizes.items())
        + f'mv -f "$session/{files[ABOUT]}" "$session/{_FILES[ABOUT]}"\nmv -f "$session/{files[RUN]}" "$session/{run}"\n'
        + "farcell_say left\nexit 0\n",
    )


def folders(mark: str, state: str | None) -> str:
    """What there is of all sessions, for `folders.parse_folders`."""
    return framed(mark, _FOLDERS.format(state=state_folder(state)))


def remove(mark: str, folders: Sequence[str]) -> str:
    """Folders of sessions whose jobs are over."""
    return framed(mark, f"farcell_say removed\nrm -rf {shlex.join(folders)}\n")


def read(mark: str, file: str) -> str:
    """After `read`: what is in it."""
    return framed(mark, f"farcell_say read\ncat {shlex.quote(file)}\n")


def names(mark: str, folder: str) -> str:
    """Of the files in it."""
    return framed(mark, f"farcell_say names\nls {shlex.quote(folder)} 2>/dev/null\n")


def encoded(mark: str, folder: str, files: Sequence[str]) -> str:
    """What is in these, one after the other, as base64."""
    return framed(mark, f"cd {shlex.quote(folder)} || exit\nfarcell_say encoded\ncat {shlex.join(files)} | base64\n")


def release(mark: str, session: str, job: str) -> str:
    """Ends the job, and removes what is left of the session."""
    return framed(mark, _RELEASE.format(session=shlex.quote(session), job=shlex.quote(job)))


def tail(mark: str, session: str) -> str:
    """The end of what the job has printed."""
    return framed(mark, f"farcell_say log\ntail -n 20 {shlex.quote(session + '/job.log')} 2>/dev/null\n")


def last_words(mark: str, session: str) -> str:
    """What the host has said why it ends, if it has."""
    return framed(mark, f"farcell_say ended\ncat {shlex.quote(session + '/ended.json')} 2>/dev/null\n")


def step(mark: str, srun: Sequence[str], python: str, pyz: str, runtime: str) -> str:
    """Ends in the bridge of a second step on the job's node, which says `run` by itself."""
    return framed(
        mark,
        f"exec {shlex.join(srun)} {python} {shlex.quote(pyz)} attach --runtime {shlex.quote(runtime)} --mark {mark}\n",
    )
