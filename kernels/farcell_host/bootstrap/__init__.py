"""A Python that can run a remote kernel, on a machine where nothing is installed but Python: found, or made and kept.

`python host.pyz environment make --cache DIR` says JSON lines of what it is doing, and at last which Python to use: the one that
runs it where that has ipykernel, else one of an environment below DIR. Only the standard library is needed, since it runs before
anything else is there. Parts: what a kernel needs (`needs.py`), what this Python and machine are (`description.py`), what there
is to install with (`installers.py`, `running.py`, `progress.py`), what is kept in the cache (`store.py`, `received.py`), how an
environment comes into being (`making.py`, `faults.py`), the commands (`command.py`).
"""
