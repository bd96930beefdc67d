"""One side's record of the ambient state that both sides agree on."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

from . import (
    decimals,
    environment,
    folder,
    future_statements,
    imported,
    interpreter,
    ipython_settings,
    jax_settings,
    locales,
    loggers,
    matplotlib_parameters,
    numpy_random,
    numpy_settings,
    pandas_options,
    randoms,
    search_path,
    standard_library,
    torch_settings,
    warning_filters,
)
from .imports import ImportGuard, ImportWatch
from .provider import Provider
from .watch import Joint, Watch

_UNKNOWN = object()
"""What the peer has is not known."""

log = logging.getLogger("farcell")


def providers(started_in: str | None = None) -> list[Provider]:
    """One of each kind; they remember what they found at first. `started_in`: see Folder."""
    return [
        environment.Environment(),
        folder.Folder(started_in),
        search_path.SearchPath(),
        imported.Imported(),
        interpreter.Interpreter(),
        warning_filters.WarningFilters(),
        decimals.Decimals(),
        locales.Locales(),
        loggers.Loggers(),
        ipython_settings.IPythonSettings(),
        ipython_settings.InlineFigures(),
        future_statements.FutureStatements(),
        standard_library.FirstWeekday(),
        standard_library.SocketTimeout(),
        standard_library.CsvSettings(),
        standard_library.XmlNamespaces(),
        randoms.Random(),
        numpy_random.NumpyRandom(),
        numpy_settings.NumpySettings(),
        pandas_options.PandasOptions(),
        matplotlib_parameters.MatplotlibParameters(),
        torch_settings.TorchSettings(),
        jax_settings.JaxSettings(),
    ]


class Ambient:
    """`is_notebook`: this side tells all at first; the other one only what changes from then on."""

    def __init__(self, is_notebook: bool, of: Sequence[Provider] | None = None) -> None:
        self._providers = {each.name: each for each in (of or providers())}
        self._imports = ImportWatch()
        self._waiting: dict[str, Any] = {}
        self._agreed: dict[str, _State] = {}
        self._joint: Joint | None = None
        modules = self._providers.get(imported.Imported.name)
        if isinstance(modules, imported.Imported):
            sys.meta_path.insert(0, ImportGuard(modules.by_peer, self.drawing_nothing))
        if not is_notebook:
            self._agreed = {name: _State.of(each) for name, each in self._providers.items() if each.is_here}

    def changes(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """(contents to tell, states to `agree` on once they were told), both by provider."""
        if self._joint is not None and self._joint.is_same:
            return {}, {}
        contents: dict[str, Any] = {}
        states: dict[str, Any] = {}
        imports = self._watch_imports()
        for name, provider in self._providers.items():
            before = self._agreed.get(name)
            if not provider.is_here or (before is not None and before.is_same(provider)):
                continue
            state = _State.of(provider)
            if before is not None and state.stamp == before.stamp:
                self._agreed[name] = state
                continue
            states[name] = state
            is_known = before is not None and before.stamp is not _UNKNOWN
            content = provider.take_since(before.stamp) if before is not None and is_known else provider.take()
            if before is not None or not provider.is_pristine(content):
                contents[name] = content
        self._joint = None if states else Joint([imports, *(each.watch for each in self._agreed.values())])
        return contents, states

    @property
    def loggers(self) -> loggers.Loggers | None:
        found = self._providers.get(loggers.Loggers.name)
        return found if isinstance(found, loggers.Loggers) else None

    def agree(self, states: dict[str, Any]) -> None:
        """The peer has been told."""
        self._agreed.update(states)

    def _watch_imports(self) -> Watch:
        """For what is not here yet."""
        watch = Watch(
            *(
                partial(getattr, each, "is_here")
                for each in self._providers.values()
                if each.module in sys.modules and not each.is_here
            )
        )
        watch.dict(sys.modules)
        return watch.see()

    def merge(self, contents: dict[str, Any]) -> Iterator[Callable[[], None]]:
        """Yields what takes it back, then makes it so here. What belongs to a module that is not imported yet waits for that."""
        before = {name: self._providers[name].take_under(each) for name, each in contents.items() if self._is_here(name)}

        def undo() -> None:
            for name, content in before.items():
                self._put(name, content)

        yield undo
        for name, content in contents.items():
            if name in before:
                self._put(name, content)
            elif name in self._providers:
                if name not in self._waiting:
                    self._imports.after(self._providers[name].module, partial(self._imported, name))
                self._waiting[name] = content

    @contextmanager
    def drawing_nothing(self) -> Iterator[None]:
        """For what the plain notebook does not do: no random number that is drawn meanwhile counts as drawn."""
        before = [
            (each, known if (known := self._agreed.get(each.name)) and known.is_same(each) else _State.of(each))
            for each in self._providers.values()
            if each.is_drawn_from and each.is_here
        ]
        try:
            yield
        finally:
            for provider, state in before:
                if not state.watch.is_same:
                    provider.put(state.stamp)

    def set_aside(self, contents: dict[str, Any], all_of_it: bool) -> dict[str, Any]:
        """Without what has changed here too since both sides agreed, or without anything: the peer is told anew of what is left
        out."""
        _, changed = self.changes()
        left_out = {name for name in contents if name in self._providers and (all_of_it or name in changed)}
        for name in left_out & self._agreed.keys():
            self._agreed[name] = self._agreed[name]._replace(module=_UNKNOWN, stamp=_UNKNOWN)
        self._joint = None
        return {name: content for name, content in contents.items() if name not in left_out}

    def _is_here(self, name: str) -> bool:
        return name in self._providers and self._providers[name].is_here

    def _imported(self, name: str) -> None:
        self._put(name, self._waiting.pop(name))

    def _put(self, name: str, content: Any) -> None:
        provider = self._providers[name]
        try:
            provider.put(content)
        except Exception:  # another version of the library, say; the cell is not to fail for a setting
            log.warning("%s could not be set as on the other side", name, exc_info=True)
        self._agreed[name], self._joint = _State.of(provider), None


class _State(NamedTuple):
    """What both sides agree on."""

    module: Any
    watch: Watch
    stamp: Any

    @classmethod
    def of(cls, provider: Provider) -> _State:
        """What changes while this looks is seen the next time."""
        return cls(sys.modules.get(provider.module), provider.watch().see(), provider.stamp())

    def is_same(self, provider: Provider) -> bool:
        return self.module is sys.modules.get(provider.module) and self.watch.is_same
