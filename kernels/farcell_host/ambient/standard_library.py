"""Settings of modules of the standard library that their own functions set."""

from __future__ import annotations

import sys
from typing import Any, ClassVar

from .provider import Provider
from .watch import Watch

_OF_A_DIALECT = ("delimiter", "quotechar", "doublequote", "escapechar", "lineterminator", "quoting", "skipinitialspace", "strict")


class _OfModule(Provider):
    @property
    def _module(self) -> Any:
        return sys.modules[self.module]


class FirstWeekday(_OfModule):
    name, module = "first weekday", "calendar"
    pristine: ClassVar[Any] = 0

    def watch(self) -> Watch:
        watch = Watch()
        watch.attributes(self._module.c)  # whose methods the module's functions are
        return watch

    def take(self) -> Any:
        return int(self._module.firstweekday())

    def put(self, content: Any) -> None:
        self._module.setfirstweekday(content)


class SocketTimeout(_OfModule):
    name, module = "socket timeout", "socket"
    pristine: ClassVar[Any] = None

    def watch(self) -> Watch:
        return Watch(self._module.getdefaulttimeout)

    def take(self) -> Any:
        return self._module.getdefaulttimeout()

    def put(self, content: Any) -> None:
        self._module.setdefaulttimeout(content)


class CsvSettings(_OfModule):
    """How long a field may be, and dialects by name."""

    name, module = "csv", "csv"

    def watch(self) -> Watch:
        dialects = getattr(sys.modules.get("_csv"), "_dialects", None)
        if type(dialects) is not dict:
            return Watch(self.stamp)
        watch = Watch(self._module.field_size_limit)
        watch.dict(dialects)
        return watch

    def stamp(self) -> Any:
        csv = self._module
        return csv.field_size_limit(), {name: csv.get_dialect(name) for name in csv.list_dialects()}

    def take(self) -> Any:
        limit, found = self.stamp()
        return limit, {name: [getattr(each, part) for part in _OF_A_DIALECT] for name, each in found.items()}

    def put(self, content: Any) -> None:
        csv = self._module
        limit, dialects = content
        csv.field_size_limit(limit)
        for name in csv.list_dialects():
            if name not in dialects:
                csv.unregister_dialect(name)
        for name, parts in dialects.items():
            csv.register_dialect(name, **dict(zip(_OF_A_DIALECT, parts, strict=True)))


class XmlNamespaces(_OfModule):
    """`ElementTree.register_namespace`."""

    name, module = "xml namespaces", "xml.etree.ElementTree"

    def take(self) -> Any:
        return dict(self._module._namespace_map)

    def put(self, content: Any) -> None:
        known = self._module._namespace_map
        known.clear()
        known.update(content)
