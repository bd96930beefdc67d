"""The command line's words and their help. Nothing else is imported, so that `--help` and a typing error are answered at once."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from .._version import __version__

_ABOUT = """\
Run notebook cells on other machines: look after the machines from a terminal.

A target is a named place to run, defined in targets.toml: a cell that begins with %%remote NAME runs there. `local`, a second
kernel on this machine, is always there."""
_START = """\
a start:
  farcell targets add gpu-a --backend ssh --host gpu-a    what `ssh gpu-a` reaches becomes the target gpu-a
  farcell doctor gpu-a                                    is everything there that it takes, and how is it mended?
  farcell targets test gpu-a                              run a cell there, and see how long it takes

Exit codes: 0 all is well; 1 something is wrong, and said; 2 the command itself is wrong."""
_ADD = """\
KEY=VALUE is any key of docs/targets.md, its value a text or as TOML has it:
  farcell targets add gpu-a --backend ssh --host gpu-a python=/opt/envs/torch/bin/python system_site_packages=true
  farcell targets add a100 --backend slurm --host login gpus=1 walltime=2h 'setup=["module load cuda"]' env.HF_HOME=/data/hf

The target is written into your own targets.toml, where all else, comments too, stays as it is."""


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """`command` is the module and the function of this package that it is for. A wrong word ends the program with 2."""
    top = _parser()
    options, more = top.parse_known_args(argv)
    if more and (not hasattr(options, "keys") or any(word.startswith("-") for word in more)):
        top.error(f"unrecognized arguments: {' '.join(more)}")
    if more:  # argparse takes no words that come behind an option as more of a list that has begun
        options.keys += more
    return options


def _parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser("farcell", description=_ABOUT, epilog=_START, formatter_class=_Plain)
    top.add_argument("--version", action="version", version=f"farcell {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    _targets(commands.add_parser("targets", help="list, add or try targets", description="Named places to run cells."))

    doctor = _command(commands, "doctor", "check all that a target takes, and say how to mend what is wrong", "doctor:doctor")
    doctor.add_argument("target", help="its name in targets.toml")
    _json(doctor)

    clean = _command(commands, "clean", "remove what farcell has left on a target and nothing uses any more", "clean:clean")
    clean.add_argument("target", help="its name in targets.toml")
    clean.add_argument("--all", action="store_true", help="also what would be made or sent anew at the next cell")
    clean.add_argument("--yes", action="store_true", help="remove it without asking")
    _json(clean)

    sessions = _command(commands, "sessions", "sessions of all your notebooks, here and on other machines", "sessions:sessions")
    sessions.add_argument("--here", action="store_true", help="on this machine only; no other one is asked")
    sessions.add_argument("--end", metavar="ID", help="end the session whose id begins so")
    sessions.add_argument("--yes", action="store_true", help="end it although runs, or results that nobody took, end with it")
    _json(sessions)

    logs = _command(commands, "logs", "all that a run has shown so far", "logs:logs")
    logs.add_argument("run", help="the beginning of its id: %%remote log, a card in the notebook or farcell sessions show it")
    logs.add_argument("--follow", "-f", action="store_true", help="go on until the run is over")
    logs.add_argument("--json", action="store_true", help="a JSON object a line for each output: type and content")
    return top


def _targets(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _json(_command(commands, "list", "all targets, and what is wrong with them", "targets:list_targets"))
    add = _command(commands, "add", "define a target", "targets:add", epilog=_ADD)
    add.add_argument("name", help="what cells will call it: letters, digits, '.', '_', '-'")
    add.add_argument("--backend", help="the way to get a kernel: local, ssh, slurm, broker")
    add.add_argument("--host", help="the machine, or a Host of ~/.ssh/config; for slurm a login node")
    add.add_argument("--replace", action="store_true", help="if there is one of that name, put this in its place")
    add.add_argument("keys", nargs="*", metavar="KEY=VALUE", help="other keys, see below")
    test = _command(commands, "test", "start a session there, run a cell, end it; says what each step took", "targets:test")
    test.add_argument("name", help="its name in targets.toml")
    _json(test)


class _Plain(argparse.RawDescriptionHelpFormatter):
    """Lines of a description are as they are written."""


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, about: str, place: str, epilog: str | None = None
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, help=about, description=f"{about[0].upper()}{about[1:]}.", epilog=epilog, formatter_class=_Plain
    )
    parser.set_defaults(command=place.split(":"))
    return parser


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for programs: one JSON document instead of a table")
