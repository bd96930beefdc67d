"""An SSH server that asks for passwords and codes, and remembers what it was told. sshd asks only with PAM, for real accounts."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import asyncssh

LIMIT_S = 30.0


@dataclass
class Server:
    """What it accepts, and all that it was told."""

    password: str | None = None
    code: str | None = None
    """With a password: both by keyboard-interactive, one after the other."""
    public_key: str | None = None
    told: list[str] = field(default_factory=list)
    logins: int = 0
    """That were begun."""
    port: int = 0
    connections: set[asyncssh.SSHServerConnection] = field(default_factory=set)


class Login(asyncssh.SSHServer):
    def __init__(self, server: Server) -> None:
        self.server = server
        self.said: list[str] = []

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self.server.connections.add(conn)

    def begin_auth(self, username: str) -> bool:
        self.server.logins += 1
        return True

    def password_auth_supported(self) -> bool:
        return self.server.password is not None and self.server.code is None

    def validate_password(self, username: str, password: str) -> bool:
        self.server.told.append(password)
        return password == self.server.password

    def kbdint_auth_supported(self) -> bool:
        return self.server.code is not None

    def get_kbdint_challenge(self, username: str, lang: str, submethods: str) -> object:
        self.said = []
        return "", "", "", [("Password: ", False)]

    def validate_kbdint_response(self, username: str, responses: list[str]) -> object:
        """The code is asked for whether or not the password was right, as PAM does."""
        self.server.told += responses
        self.said += responses
        if len(self.said) == 1:
            return "", "", "", [("Verification code: ", True)]
        return self.said == [self.server.password, self.server.code]

    def public_key_auth_supported(self) -> bool:
        return self.server.public_key is not None

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return key.export_public_key().split()[:2] == (self.server.public_key or "").encode().split()[:2]

    def unix_connection_requested(self, dest_path: str) -> bool:
        return True

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:
        return True


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    """In a thread and loop of its own. A session without a command is greeted; a command is run as this user."""

    async def serve_session(process: asyncssh.SSHServerProcess[bytes]) -> None:
        if process.command is None:
            process.stdout.write(b"welcome\n")
            process.exit(0)
            return
        pipe = asyncio.subprocess.PIPE
        command = await asyncio.create_subprocess_shell(process.command, stdin=pipe, stdout=pipe, stderr=pipe)
        await process.redirect(command.stdin, command.stdout, command.stderr)
        process.exit(await command.wait())
        await process.wait_closed()

    async def serve() -> None:
        key = asyncssh.generate_private_key("ssh-ed25519")
        async with asyncssh.listen(
            "127.0.0.1",
            0,
            server_factory=lambda: Login(server),
            process_factory=serve_session,
            server_host_keys=[key],
            encoding=None,
        ) as listener:
            server.port = listener.get_port()
            is_up.set()
            await ended.wait()
            listener.close()
            for connection in server.connections:
                connection.abort()
                await connection.wait_closed()
            await asyncio.sleep(0)  # a transport closes in the loop's next turn

    is_up, ended = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    assert is_up.wait(LIMIT_S)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(LIMIT_S)
        assert not thread.is_alive()
        loop.close()
