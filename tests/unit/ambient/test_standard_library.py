"""Settings of the standard library's modules: seen when they change, and put back."""

from __future__ import annotations

import calendar
import csv
import pickle
import socket
import xml.etree.ElementTree as ET
from collections.abc import Callable

import pytest
from farcell_host.ambient import standard_library
from farcell_host.ambient.provider import Provider


def _add_a_dialect() -> None:
    csv.register_dialect("fc-bars", delimiter="|", quoting=csv.QUOTE_NONE, escapechar="\\")


CASES = [
    (standard_library.FirstWeekday, lambda: calendar.setfirstweekday(6), lambda: calendar.firstweekday() == 6),
    (standard_library.SocketTimeout, lambda: socket.setdefaulttimeout(7.5), lambda: socket.getdefaulttimeout() == 7.5),
    (standard_library.CsvSettings, lambda: csv.field_size_limit(5), lambda: csv.field_size_limit() == 5),
    (standard_library.CsvSettings, _add_a_dialect, lambda: "fc-bars" in csv.list_dialects()),
    (standard_library.XmlNamespaces, lambda: ET.register_namespace("fc", "urn:fc"), lambda: "urn:fc" in ET._namespace_map),
]


@pytest.mark.parametrize(("kind", "change", "is_changed"), CASES)
def test_a_setting_goes_both_ways(kind: type[Provider], change: Callable[[], None], is_changed: Callable[[], bool]) -> None:
    """What was taken before undoes the change, and what was taken after it makes it again."""
    provider = kind()
    assert provider.is_here
    before = provider.take()
    watch = provider.watch().see()
    assert watch.is_same
    try:
        change()
        assert not watch.is_same
        assert provider.take() != before
        after = pickle.loads(pickle.dumps(provider.take()))
        provider.put(before)
        assert not is_changed() and provider.take() == before
        provider.put(after)
        assert is_changed() and provider.take() == after
    finally:
        provider.put(before)
