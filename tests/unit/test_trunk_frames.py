"""Frames of a trunk, in whatever pieces they come."""

from __future__ import annotations

import pytest
from farcell_host.errors import ProtocolError
from farcell_host.protocol.trunk import MOST_BYTES, Frame, Frames, Kind, frame
from hypothesis import given
from hypothesis import strategies as st

FRAMES = st.lists(st.tuples(st.sampled_from(Kind), st.integers(0, (1 << 32) - 1), st.binary(max_size=50)), max_size=8)


@given(FRAMES, st.integers(1, 40))
def test_frames_arrive_as_they_were_sent(sent: list[Frame], size: int) -> None:
    data = b"".join(frame(*each) for each in sent)
    frames = Frames()
    received = [each for at in range(0, len(data), size) for each in frames.receive(data[at : at + size])]
    assert received == sent


@pytest.mark.parametrize("data", [b"Last login: Mon", frame(Kind.DATA, 1, b"x" * (MOST_BYTES + 1))])
def test_what_is_no_frame_is_refused(data: bytes) -> None:
    """Also one that is too long to be one."""
    with pytest.raises(ProtocolError, match="no frame of a trunk"):
        Frames().receive(data)
