"""pd.options, as far as they differ from pandas' defaults."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from typing import Any, ClassVar

from .provider import Provider
from .watch import Watch


class PandasOptions(Provider):
    name = "pandas options"
    module = "pandas"
    pristine: ClassVar[Any] = {}

    @property
    def is_here(self) -> bool:
        return hasattr(sys.modules.get(self.module), "set_option") and "pandas._config.config" in sys.modules

    def watch(self) -> Watch:
        config: Any = sys.modules["pandas._config.config"]
        watch = Watch()
        for each in (config._registered_options, *_groups(config._global_config)):
            watch.dict(each)
        return watch

    def stamp(self) -> Any:
        return [tuple(group.values()) for group in _groups(sys.modules["pandas._config.config"]._global_config)]

    def take(self) -> Any:
        config: Any = sys.modules["pandas._config.config"]
        found = {}
        for key, option in config._registered_options.items():
            value = _value(config._global_config, key)
            if value != option.defval:
                found[key] = value
        return found

    def put(self, content: Any) -> None:
        pd: Any = sys.modules["pandas"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for key in self.take().keys() - content.keys():
                pd.reset_option(key)
            for key, value in content.items():
                pd.set_option(key, value)


def _groups(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The nested dicts, which pandas changes in place; an option's value may be a dict too, and harms nothing."""
    yield config
    for value in config.values():
        if type(value) is dict:
            yield from _groups(value)


def _value(config: Any, key: str) -> Any:
    for part in key.split("."):
        config = config[part]
    return config
