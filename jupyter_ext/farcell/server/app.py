"""What Jupyter Server loads: paths, the event schema, and the one observatory of this process."""

from __future__ import annotations

from typing import Any

from jupyter_server.extension.application import ExtensionApp

from .events import SCHEMA, SCHEMA_ID
from .handlers import handlers
from .observatory import Observatory
from .service import Service


class FarcellApp(ExtensionApp):  # type: ignore[misc, unused-ignore]
    """Enabled by `jupyter_server_config.d/farcell.json`, which the wheel brings."""

    name = "farcell"
    # No extension_url: JupyterHub takes the first that an extension has for the page that users see after a login.

    def initialize_settings(self) -> None:
        """Called by ServerApp, on the thread whose loop will serve."""
        assert self.serverapp is not None and self.serverapp.event_logger is not None
        self.serverapp.event_logger.register_event_schema(SCHEMA)
        self._observatory = Observatory(self._tell, self.serverapp.root_dir)
        self._service = Service(self._observatory)

    def initialize_handlers(self) -> None:
        """Called by ServerApp after `initialize_settings`."""
        self.handlers.extend(handlers(self._service))

    def _tell(self, server: str, revision: int) -> None:
        """On the connection thread: a snapshot is ready."""
        loop = self._service.loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._emit, {"server": server, "revision": revision})

    def _emit(self, data: dict[str, Any]) -> None:
        assert self.serverapp is not None and self.serverapp.event_logger is not None
        self.serverapp.event_logger.emit(schema_id=SCHEMA_ID, data=data)

    async def stop_extension(self) -> None:
        """Called by ServerApp at its end."""
        await self._service.close()
