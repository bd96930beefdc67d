"""The way to a target's machine: one client, which is logged in when it is first needed, and asked for by whoever needs it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from farcell_host.runtime import RuntimeFolderError

from ...errors import TargetUnavailable
from ..base import LaunchOptions
from .client import SshClient
from .destination import Destination
from .questions import Ask, Questions


class Login:
    """One backend's; the shared connection behind it is that of all sessions of all notebooks of a user."""

    def __init__(self) -> None:
        self._client: SshClient | None = None

    async def client(self, options: LaunchOptions, ask: Ask | None = None) -> SshClient:
        """Connected; `ask` answers what ssh asks, and without it nobody does. Raises TargetUnavailable."""
        try:
            return await self._answered(options, ask)
        except RuntimeFolderError as error:
            raise TargetUnavailable(f"{options.target!r} cannot be reached from here: {error}") from None

    async def _answered(self, options: LaunchOptions, ask: Ask | None) -> SshClient:
        if ask is None:
            return await self._connected(options)
        with Questions(ask) as questions:
            try:
                return await self._connected(options, questions.environment())
            except TargetUnavailable:
                declined = questions.declined
                if declined is None:
                    raise
        raise TargetUnavailable(
            f"{options.target!r} ({options.host}): ssh asked {declined.text.strip()!r}, and there was no answer. "
            "Nothing was tried without it; the next cell on it asks again."
        )

    def doubt(self) -> None:
        """See `SshClient.doubt`."""
        if self._client is not None:
            self._client.doubt()

    async def _connected(self, options: LaunchOptions, environment: Mapping[str, str] | None = None) -> SshClient:
        if self._client is None:
            if options.host is None:
                raise TargetUnavailable(f"{options.target!r} has no host: set it in targets.toml.")
            destination = Destination(options.host, options.user, tuple(shlex.split(options.ssh)))
            self._client = SshClient(options.target, destination, options.ssh_persist_s)
        await self._client.connect(environment)
        return self._client
