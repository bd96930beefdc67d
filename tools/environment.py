"""Makes the project's virtual environment: `python3 tools/environment.py [--python EXE] [--constraint FILE] FOLDER [EXTRA ...]`.

Standard library only and untyped, in old syntax: any python3 may run it, to find a better one. It chooses the newest of
Python 3.10-3.13 at hand, unless the one that runs it will do, and copes with
- a Debian without python3-venv: the environment is made without pip, and pip put into it by a pip from outside
  (`pip --python`), which PEP 668 allows since the environment is not the system's;
- no pip anywhere: it says which package to install;
- paths with spaces: nothing passes through a shell.
An environment that exists is used again, unless its Python is not one of ours.
"""

import argparse
import glob
import json
import os
import shutil
import subprocess
import sys

OLDEST, NEWEST = (3, 10), (3, 13)
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROBE = "import json, sys; print(json.dumps([list(sys.version_info[:2]), sys.executable]))"
HELP = """farcell: no pip was found for Python %s to build a virtual environment with.
On Debian or Ubuntu: sudo apt-get install python3-venv
Then run the same command again."""
NO_PANEL = """farcell: the panel in JupyterLab could not be built; all else works. To see why: %s"""


def probe(executable):
    """(version, executable) of a Python that runs and is ours to use, else None."""
    try:
        said = subprocess.run([executable, "-c", PROBE], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60)
        version, path = json.loads(said.stdout.decode())
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return (tuple(version), path) if OLDEST <= tuple(version) <= NEWEST else None


def candidates():
    """Pythons of this machine, on PATH and in pyenv's folder, by name alone."""
    names = ["python3"] + [f"python3.{minor}" for minor in range(NEWEST[1], OLDEST[1] - 1, -1)]
    found = [sys.executable] + [path for path in map(shutil.which, names) if path]
    pyenv = os.environ.get("PYENV_ROOT") or os.path.join(os.path.expanduser("~"), ".pyenv")
    return found + sorted(glob.glob(os.path.join(glob.escape(pyenv), "versions", "3.*", "bin", "python")), reverse=True)


def pythons():
    """{version: executable} of all that are at hand; the first candidate of a version counts."""
    found = {}
    for candidate in candidates():
        known = probe(candidate)
        if known and known[0] not in found:
            found[known[0]] = known[1]
    return found


def choose(wanted):
    """The executable for a version as "3.10", "newest", or "any": the one that runs this, or else the newest."""
    if os.sep in wanted:
        return wanted
    if wanted == "any" and probe(sys.executable):
        return sys.executable
    found = pythons()
    version = max(found, default=None) if wanted in ("any", "newest") else tuple(int(part) for part in wanted.split("."))
    if version not in found:
        have = ", ".join("{}.{}".format(*known) for known in sorted(found)) or "none of 3.10 to 3.13"
        sys.exit(f"farcell: no Python {wanted} on this machine (found: {have}).")
    return found[version]


def make(folder, python):
    """An environment with pip in `folder`."""
    inside = os.path.join(folder, "bin", "python")
    if probe(inside) and has_pip(inside):
        return inside
    shutil.rmtree(folder, ignore_errors=True)
    if subprocess.run([python, "-m", "venv", folder], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0:
        return inside
    # No ensurepip: Debian without python3-venv.
    shutil.rmtree(folder, ignore_errors=True)
    made = subprocess.run([python, "-m", "venv", "--without-pip", folder]).returncode == 0
    if not made or not any(put_pip(inside, outer) for outer in [python, *candidates()]):
        shutil.rmtree(folder, ignore_errors=True)
        sys.exit(HELP % python)
    return inside


def has_pip(python):
    return subprocess.run([python, "-c", "import pip"], stderr=subprocess.DEVNULL).returncode == 0


def put_pip(inside, outer):
    if not has_pip(outer):
        return False
    command = [outer, "-m", "pip", "--python", inside, "install", "--quiet", "pip"]
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--list", action="store_true", help="print the Pythons at hand and end")
    parser.add_argument("--python", default="any", help="3.10, 3.11, ..., newest, any, or a path")
    parser.add_argument("--constraint", help="a pip constraints file")
    parser.add_argument("folder", nargs="?", default=".venv")
    parser.add_argument("extras", nargs="*")
    options = parser.parse_args()
    if options.list:
        for version, executable in sorted(pythons().items()):
            print("{}.{} {}".format(*version, executable))
        return
    inside = make(os.path.join(ROOT, options.folder), choose(options.python))
    what = ".[{}]".format(",".join(options.extras))
    command = [inside, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--editable", what]
    if options.constraint:
        command += ["--constraint", options.constraint]
    # From the project's own folder, as a relative path: pip reads "[" in an absolute one as the start of extras.
    code = subprocess.run(command, cwd=ROOT).returncode
    if code == 0 and not os.path.isdir(os.path.join(ROOT, "jupyter_ext", "farcell", "labextension", "static")):
        print(NO_PANEL % "{} -m pip install -v --no-deps --editable .".format(os.path.join(options.folder, "bin", "python")))
    sys.exit(code)


if __name__ == "__main__":
    main()
