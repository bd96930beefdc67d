"""What `%config`, `%precision`, `%pprint`, `%colors` and `%xmode` set, as far as it decides how a cell runs and what it shows."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any, ClassVar

from .provider import Provider
from .watch import Watch

_OF_SHELL = (
    "ast_node_interactivity", "autoawait", "autocall", "automagic", "colors", "display_page", "enable_html_pager",
    "object_info_string_level", "show_rewritten_input", "sphinxify_docstring", "system_raise_on_error",
    "wildcards_case_sensitive",
)  # fmt: skip
_OF_TEXT = ("float_precision", "max_seq_length", "max_width", "newline", "pprint", "verbose")
_MODE = "xmode"


class IPythonSettings(Provider):
    name = "IPython settings"
    module = "IPython.core.interactiveshell"

    @property
    def is_here(self) -> bool:
        module = sys.modules.get(self.module)
        return module is not None and bool(module.InteractiveShell.initialized())

    def watch(self) -> Watch:
        shell = _shell()
        # Not the shell's values as a whole: the number of the cell is one of them.
        watch = Watch(*(partial(shell._trait_values.get, name) for name in _OF_SHELL))
        watch.dict(_text()._trait_values)
        watch.attributes(shell.InteractiveTB)
        return watch

    def take(self) -> Any:
        owners = ((_shell(), _OF_SHELL), (_text(), _OF_TEXT))
        found = {name: getattr(owner, name) for owner, names in owners for name in names if owner.has_trait(name)}
        return {**found, _MODE: _shell().InteractiveTB.mode}

    def is_pristine(self, content: Any) -> bool:
        defaults = {**_shell().trait_defaults(), **_text().trait_defaults(), _MODE: "Context"}
        return all(value == defaults.get(name) for name, value in content.items())

    def take_since(self, stamp: Any) -> Any:
        return {name: value for name, value in self.take().items() if stamp.get(name) != value}

    def put(self, content: Any) -> None:
        now = self.take()
        for name, value in content.items():
            if name not in now or now[name] == value:
                continue
            if name == _MODE:
                _shell().InteractiveTB.set_mode(value)
            else:
                setattr(_shell() if name in _OF_SHELL else _text(), name, value)


def _shell() -> Any:
    return sys.modules["IPython.core.interactiveshell"].InteractiveShell._instance


def _text() -> Any:
    return _shell().display_formatter.formatters["text/plain"]


class InlineFigures(Provider):
    """What `%config InlineBackend` sets."""

    name = "inline figures"
    module = "matplotlib_inline.config"
    pristine: ClassVar[Any] = (["png"], {"bbox_inches": "tight"}, True)

    @property
    def is_here(self) -> bool:
        module = sys.modules.get(self.module)
        return module is not None and bool(module.InlineBackend.initialized())

    def watch(self) -> Watch:
        settings = sys.modules[self.module].InlineBackend._instance
        watch = Watch(settings.figure_formats.copy, settings.print_figure_kwargs.copy)
        watch.dict(settings._trait_values)
        return watch

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
