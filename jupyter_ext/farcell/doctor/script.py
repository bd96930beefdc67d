"""What is asked on a target: one script for its shell."""

from __future__ import annotations

import importlib.resources
import shlex
from collections.abc import Sequence

from farcell_host.bundle import OLDEST, TOO_OLD

from ..backends import scripts
from ..backends.base import LaunchOptions
from ..backends.slurm.jobs import sbatch_options
from ..backends.slurm.scripts import state_folder

PROBE = "probe"
LINES = "\x1e"
"""In the place of a line's end, where an answer has several."""

_MACHINE = """\
farcell_say clock "$(date +%s)"
farcell_say account "$(id -un)" "$HOME"
farcell_say cpu "$(ulimit -t)"
"""

_LOGIN = """\
farcell_say systemd "$([ -d /run/systemd/system ] && echo yes || echo no)"
farcell_say kill "$({kills})"
farcell_say linger "$({lingers})"
farcell_say scope "$({scope} true 2>&1 < /dev/null && echo works)"
"""

_SLURM = """\
farcell_lines() {{ tr '\\n' '\\036'; }}
farcell_say sbatch "$(command -v sbatch) $(sbatch --version 2>&1 | tail -n 1)"
farcell_say squeue "$(squeue --noheader --user="$(id -un)" --format=%A 2>&1 > /dev/null | farcell_lines)"
farcell_said=$(sbatch --test-only {options} --wrap=true 2>&1)
farcell_code=$?
farcell_say trial "$farcell_code $(printf '%s' "$farcell_said" | farcell_lines)"
farcell_say gres "$(sinfo --noheader --format=%G 2>/dev/null | sort -u | farcell_lines)"
nodes=$(scontrol show node --oneliner 2>/dev/null | head -n 50)
"""

_PYTHON = """\
if [ -z "$farcell_found" ]; then
  farcell_said=$({python} -c {version} 2>&1 < /dev/null)
  farcell_code=$?
  farcell_say python-{number} "$farcell_code $(printf '%s' "$farcell_said" | tail -n 1)"
  [ $farcell_code != 0 ] || farcell_found={shown}
fi
"""

_PROBE = """\
if [ -n "$farcell_found" ]; then
  farcell_say probe
  eval "$farcell_found - {kind} \\"\\$cache\\" \\"\\$state\\" \\"\\$nodes\\"" <<'FARCELL_PROBE_ENDS'
{source}
FARCELL_PROBE_ENDS
fi
"""

_VERSION = (
    "import sys; sys.stdout.write(sys.version.split()[0]); "
    f"sys.exit(0 if sys.version_info >= {OLDEST!r} else {TOO_OLD})"  # in the words of any Python
)


def pythons(options: LaunchOptions) -> Sequence[str]:
    """Command lines, of which the first that will do is taken."""
    return scripts.PYTHONS if options.python is None else (options.python,)


def examine(mark: str, options: LaunchOptions) -> str:
    """Says `setup` once the target's set-up is done, then what the machine, its login and its scheduler tell, and `python-N` for
    each of `pythons`. After `probe`, `probe`'s line follows."""
    parts = [scripts.setup_part(options.setup), *scripts.exported(options.env), "farcell_say setup\n", _MACHINE]
    parts.append(f"cache={scripts.cache_folder(options.cache_dir)} state= nodes= farcell_found=\n")
    if options.backend == "ssh":
        parts.append(_LOGIN.format(kills=scripts.KILLS, lingers=scripts.LINGERS, scope=scripts.SCOPE))
    if options.backend == "slurm":
        asked = shlex.join(sbatch_options(f"farcell-{options.target}", options.resources))
        parts += [f"state={state_folder(options.state_dir)}\n", _SLURM.format(options=asked)]
    for number, python in enumerate(pythons(options)):
        words = _PYTHON.format(python=python, version=shlex.quote(_VERSION), number=number, shown=shlex.quote(python))
        parts.append(words)
    source = importlib.resources.files(__package__).joinpath("probe.py").read_text(encoding="utf-8")
    parts.append(_PROBE.format(kind=options.backend, source=source))
    return scripts.framed(mark, "".join(parts))
