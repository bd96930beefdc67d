"""Every way to a remote kernel passes the same tests: each backend, over the kernel's own socket and over zmq."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from notebooks import Notebook
from places import Place
from sandbox import Sandbox

WAYS = ("local", "local-attach", "local-zmq", "local-attach-zmq")


@pytest.fixture(scope="module", params=WAYS)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """One notebook a module and way: starts cost seconds, and the cells do not disturb each other."""
    target = request.param.removesuffix("-zmq")
    box = Sandbox()
    before = os.environ.get("FARCELL_DIRECT")
    os.environ["FARCELL_DIRECT"] = "0" if request.param != target else "1"
    try:
        with Notebook(box) as notebook:
            notebook.run("%load_ext farcell").check()
            yield Place(notebook, target, request.param)
    finally:
        os.environ.pop("FARCELL_DIRECT", None)
        if before is not None:
            os.environ["FARCELL_DIRECT"] = before
    left = box.close()
    assert not left, f"left behind: {left}"
