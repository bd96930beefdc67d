"""ipyparallel with one engine on this machine, driven from the same notebook kernel: what a user would pick instead."""

from __future__ import annotations

from frontend import FrontEnd

_START = """
import logging
import ipyparallel
_cluster = ipyparallel.Cluster(n=1, log_level=logging.ERROR)
_engines = _cluster.start_and_connect_sync()
view = _engines[0]
view.block = True
_engines[:].activate()
view.execute("import numpy as np")
"""
_STOP = "_engines.close(); _cluster.stop_cluster_sync()"


class Ipyparallel:
    """`with Ipyparallel(front_end):` has `view` and `%%px` in the kernel."""

    def __init__(self, front_end: FrontEnd) -> None:
        self._front_end = front_end

    def __enter__(self) -> None:
        self._front_end.run(_START)

    def __exit__(self, *exception: object) -> None:
        self._front_end.run(_STOP)
