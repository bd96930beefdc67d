"""The broker's REST API and its streams, from the notebook's side. The token goes in a header, and nowhere else."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from farcell_host.reasons import Reason
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
from tornado.httputil import HTTPHeaders
from tornado.iostream import StreamClosedError
from tornado.websocket import WebSocketClientConnection, WebSocketError, websocket_connect

from ...errors import TargetUnavailable
from ..base import LaunchOptions, Unreachable

HUB_TOKEN = "JUPYTERHUB_API_TOKEN"
REQUEST_S = 30.0
CONNECT_S = 10.0
MESSAGE_BYTES = 4 << 20
"""Of a WebSocket message; longer ones end the stream."""
PING_S = 20.0
"""Under the idle time-outs of proxies, which begin at a minute."""


class BrokerRefusal(TargetUnavailable):
    """The broker has answered, and it is no; `code` is its word for why, `status` HTTP's."""

    def __init__(self, text: str, status: int, code: str, reason: Reason = Reason.UNKNOWN) -> None:
        super().__init__(text, reason)
        self.status, self.code = status, code


class BrokerClient:
    """One broker, as one user; all coroutines, of the loop they are called on."""

    def __init__(self, url: str, token_file: str | None = None, token_variable: str | None = None) -> None:
        self.url = url.rstrip("/") + "/"
        self._token_file, self._token_variable = token_file, token_variable
        self._http: AsyncHTTPClient | None = None

    @classmethod
    def of(cls, options: LaunchOptions) -> BrokerClient:
        """Of a target; TargetUnavailable where nothing says which broker."""
        if options.url is None:
            raise TargetUnavailable(f"{options.target!r} has no url of its broker: set it in targets.toml.")
        return cls(options.url, options.token_file, options.token_variable)

    async def get(self, path: str, timeout_s: float = REQUEST_S, **query: object) -> Any:
        words = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in query.items())
        return await self._request("GET", f"{path}?{words}" if words else path, None, timeout_s)

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        return await self._request("POST", path, json.dumps(body), REQUEST_S)

    async def delete(self, path: str) -> Any:
        return await self._request("DELETE", path, None, REQUEST_S)

    async def stream(self, path: str) -> WebSocketClientConnection:
        """Raises as requests do."""
        url = "ws" + self.url.removeprefix("http") + path
        request = HTTPRequest(url, headers=self._headers(), connect_timeout=CONNECT_S, request_timeout=REQUEST_S)
        try:
            return await websocket_connect(request, ping_interval=PING_S, ping_timeout=0, max_message_size=MESSAGE_BYTES)
        except (HTTPClientError, OSError, StreamClosedError, WebSocketError) as error:
            raise self._fault(error) from error

    async def _request(self, method: str, path: str, body: str | None, timeout_s: float) -> Any:
        request = HTTPRequest(
            self.url + path,
            method,
            self._headers(),
            body,
            connect_timeout=CONNECT_S,
            request_timeout=timeout_s,
            follow_redirects=False,  # or the token would go wherever the answer says
        )
        try:
            if self._http is None:  # of its own: the loop's common one has ten connections for everybody
                self._http = AsyncHTTPClient(force_instance=True)
            response = await self._http.fetch(request)
        except (HTTPClientError, OSError, StreamClosedError) as error:
            raise self._fault(error) from error
        try:
            return json.loads(response.body) if response.body else None
        except ValueError:
            raise Unreachable(f"{self.url} is no farcell broker: its answer to {path} is no JSON.") from None

    def _headers(self) -> HTTPHeaders:
        return HTTPHeaders({"Authorization": f"token {self._token()}", "Content-Type": "application/json"})

    def _token(self) -> str:
        """Read each time: a file or a hub may give a new one before the old one expires."""
        if self._token_file is not None:
            return _read_token(Path(self._token_file).expanduser())
        name = self._token_variable or HUB_TOKEN
        token = os.environ.get(name)
        if not token:
            raise TargetUnavailable(
                f"The broker {self.url} wants a token, and the environment variable {name} is not set. On a JupyterHub it is; "
                "elsewhere ask for one (farcell-broker token add), put it into a file with mode 0600, and name that as "
                "token_file of the target.",
                Reason.LOGIN_REFUSED,
            )
        return token

    def _fault(self, error: Exception) -> TargetUnavailable:
        """In words, whether anybody answered or not."""
        response = error.response if isinstance(error, HTTPClientError) else None
        if not isinstance(error, HTTPClientError) or response is None or error.code in (502, 504, 599):
            return Unreachable(f"The broker {self.url} does not answer: {error}.")
        try:
            told = json.loads(response.body)["error"]
            code, message = str(told["code"]), str(told["message"])
        except (ValueError, KeyError, TypeError):
            code, message = "http", f"HTTP {error.code} {response.reason}"
        if error.code == 503:
            return Unreachable(f"The broker {self.url}: {message}")
        reason = Reason.LOGIN_REFUSED if error.code in (401, 403) else Reason.UNKNOWN
        return BrokerRefusal(f"The broker {self.url}: {message}", error.code, code, reason)


def _read_token(file: Path) -> str:
    try:
        status = file.stat()
        text = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise TargetUnavailable(f"The broker's token cannot be read: {error}.", Reason.LOGIN_REFUSED) from None
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise TargetUnavailable(f"{file} holds a token and others can read it: chmod 600 {file}", Reason.LOGIN_REFUSED)
    if not text or not text.isascii() or len(text.split()) != 1:
        raise TargetUnavailable(f"{file} must hold a token and nothing else.", Reason.LOGIN_REFUSED)
    return text
