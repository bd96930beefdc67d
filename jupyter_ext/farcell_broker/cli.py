"""`farcell-broker`: runs the broker, checks its policy, gives and takes tokens.

Exit codes as `farcell`'s: 0 all is well, 1 something is wrong (which is said), 2 the command itself is.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from farcell._version import __version__

from . import roothelper
from .errors import BrokerError
from .install import HELPER, helper_text, sudoers_text

WRONG = 1
STATE = "/var/lib/farcell-broker"
_RUN = """\
Started by a JupyterHub (services, with a url and a command) it knows the hub's users by their tokens; alone it knows those of
--tokens. Each option may be given in the environment, too: FARCELL_BROKER_POLICY and so on. A database's password should be."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; what it returns is the exit code."""
    options = _parser().parse_args(argv)
    os.umask(0o077)
    try:
        return int(options.command(options))
    except BrokerError as error:
        print(f"farcell-broker: {error}", file=sys.stderr)
        return WRONG
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser("farcell-broker", description="Lends GPUs of shared machines to the users of notebooks.")
    top.add_argument("--version", action="version", version=f"farcell-broker {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run the broker until it is told to end", description=_RUN)
    _policy(run)
    run.add_argument("--state-dir", type=Path, default=_given("STATE_DIR", STATE), help=f"what it keeps ({STATE})")
    run.add_argument("--database", default=_given("DATABASE"), help="SQLAlchemy's URL; SQLite in the state dir without one")
    run.add_argument("--url", default=_given("URL", "http://127.0.0.1:8086/"), help="where it listens, without a hub")
    run.add_argument("--tokens", type=Path, default=_given("TOKENS"), help="the file of tokens, without a hub")
    run.add_argument("--certificate", type=Path, default=_given("CERTIFICATE"), help="for an https url")
    run.add_argument("--key", type=Path, default=_given("KEY"), help="the certificate's")
    run.add_argument("--verbose", action="store_true", help="log each request")
    run.set_defaults(command=_run)

    check = commands.add_parser("check-config", help="say all that is wrong with the policy")
    _policy(check)
    check.set_defaults(command=_check)

    helper = commands.add_parser("helper", help="print the program that starts hosts in Unix accounts, to be installed by root")
    helper.add_argument(
        "--config", default=roothelper.CONFIG, help=f"where it is to look for its configuration ({roothelper.CONFIG})"
    )
    helper.add_argument("--python", default="/usr/bin/python3", help="what is to run it")
    helper.set_defaults(command=_helper)
    sudoers = commands.add_parser("sudoers", help="print the line of sudoers that allows it to the broker's account")
    sudoers.add_argument("account", help="the broker's, or on another machine the one that it logs in with")
    sudoers.add_argument("--helper", default=HELPER, help=f"where it is installed ({HELPER})")
    sudoers.set_defaults(command=_sudoers)

    token = commands.add_parser("token", help="tokens of a broker without a hub").add_subparsers(required=True, metavar="WHAT")
    add = token.add_parser("add", help="make one; it is printed once and kept nowhere")
    add.add_argument("user")
    add.add_argument("--group", action="append", default=[], help="a group of policy; may be repeated")
    add.add_argument("--admin", action="store_true", help="may see and end everybody's leases")
    add.add_argument("--days", type=float, default=30.0, help="until it expires (30)")
    add.set_defaults(command=_add)
    shown = token.add_parser("list", help="who has one, and until when")
    shown.set_defaults(command=_list)
    revoke = token.add_parser("revoke", help="end one; its open streams close within a minute")
    revoke.add_argument("id")
    revoke.set_defaults(command=_revoke)
    for each in (add, shown, revoke):
        each.add_argument("--tokens", type=Path, default=_given("TOKENS", f"{STATE}/tokens.json"), help="their file")
    return top


def _given(name: str, otherwise: str | None = None) -> str | None:
    return os.environ.get(f"FARCELL_BROKER_{name}", otherwise)


def _policy(parser: argparse.ArgumentParser) -> None:
    policy = _given("POLICY")
    parser.add_argument("--policy", type=Path, default=policy, required=policy is None, help="who may use what, a TOML file")


def _run(options: argparse.Namespace) -> int:
    from .hardening import end_with_hub, forbid_inspection
    from .service import Settings, serve

    forbid_inspection()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("farcell.broker").setLevel(logging.DEBUG if options.verbose else logging.INFO)
    options.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    has_hub = bool(os.environ.get("JUPYTERHUB_API_TOKEN") and os.environ.get("JUPYTERHUB_SERVICE_URL"))
    if has_hub:
        end_with_hub()
    settings = Settings(
        policy=options.policy,
        database=options.database or f"sqlite:///{options.state_dir.absolute() / 'broker.sqlite'}",
        state_dir=options.state_dir.absolute(),
        url=os.environ["JUPYTERHUB_SERVICE_URL"] if has_hub else options.url,
        tokens=None if has_hub else options.tokens,
        has_hub=has_hub,
        certificate=options.certificate,
        key=options.key,
    )
    asyncio.run(serve(settings))
    return 0


def _check(options: argparse.Namespace) -> int:
    from .policy import read

    policy = read(options.policy)
    for name, target in policy.targets.items():
        print(f"{name}: {target.backend}, {target.capacity} to lend, isolation {target.isolation}")
    print(f"{options.policy} is right: {len(policy.targets)} targets, {len(policy.groups)} groups, {len(policy.users)} users.")
    return 0


def _helper(options: argparse.Namespace) -> int:
    return _printed(lambda: helper_text(options.config, options.python))


def _sudoers(options: argparse.Namespace) -> int:
    return _printed(lambda: sudoers_text(options.account, options.helper))


def _printed(text: Callable[[], str]) -> int:
    try:
        print(text(), end="")
    except ValueError as error:
        raise BrokerError(f"{error}.") from None
    return 0


def _add(options: argparse.Namespace) -> int:
    from .tokens import TokenFile

    print(TokenFile(options.tokens).add(options.user, tuple(options.group), options.admin, options.days))
    return 0


def _list(options: argparse.Namespace) -> int:
    from .tokens import TokenFile

    for token in TokenFile(options.tokens).tokens().values():
        until = time.strftime("%Y-%m-%d %H:%M", time.localtime(token.expires_at))
        state = "until" if token.expires_at > time.time() else "expired"
        print(f"{token.id}  {token.user}  {' '.join(token.scopes)}  {state} {until}")
    return 0


def _revoke(options: argparse.Namespace) -> int:
    from .tokens import TokenFile

    if not TokenFile(options.tokens).revoke(options.id):
        raise BrokerError(f"There is no token {options.id!r} in {options.tokens}; farcell-broker token list shows them.")
    return 0
