"""What `%precision`, `%xmode` and `%config InteractiveShell.ast_node_interactivity` set."""

from __future__ import annotations

import sys
from typing import Any, ClassVar

from .provider import Provider

_OF_TEXT = ("float_precision", "max_seq_length", "max_width", "pprint")


class IPythonSettings(Provider):
    name = "IPython settings"
    module = "IPython.core.interactiveshell"
    pristine: ClassVar[Any] = ("last_expr", "Context", "", 1000, 79, True)

    @property
    def is_here(self) -> bool:
        module = sys.modules.get(self.module)
        return module is not None and bool(module.InteractiveShell.initialized())

    def take(self) -> Any:
        shell = _shell()
        text = shell.display_formatter.formatters["text/plain"]
        return (shell.ast_node_interactivity, shell.InteractiveTB.mode, *(getattr(text, name) for name in _OF_TEXT))

    def put(self, content: Any) -> None:
        shell = _shell()
        text = shell.display_formatter.formatters["text/plain"]
        now = self.take()
        if content[0] != now[0]:
            shell.ast_node_interactivity = content[0]
        if content[1] != now[1]:
            shell.InteractiveTB.set_mode(content[1])
        for name, value, before in zip(_OF_TEXT, content[2:], now[2:], strict=True):
            if value != before:
                setattr(text, name, value)


def _shell() -> Any:
    return sys.modules["IPython.core.interactiveshell"].InteractiveShell._instance


class InlineFigures(Provider):
    """What `%config InlineBackend` sets."""

    name = "inline figures"
    module = "matplotlib_inline.config"
    pristine: ClassVar[Any] = (["png"], {"bbox_inches": "tight"}, True)

    @property
    def is_here(self) -> bool:
        module = sys.modules.get(self.module)
        return module is not None and bool(module.InlineBackend.initialized())

    def take(self) -> Any:
        settings = sys.modules[self.module].InlineBackend._instance
        return sorted(settings.figure_formats), dict(settings.print_figure_kwargs), settings.close_figures

    def put(self, content: Any) -> None:
        settings = sys.modules[self.module].InlineBackend.instance(parent=_shell())
        settings.shell = _shell()
        formats, keywords, closes = content
        if set(formats) != settings.figure_formats:
            settings.figure_formats = set(formats)
        settings.print_figure_kwargs, settings.close_figures = dict(keywords), closes
