"""A comm that a remote cell has opened is one of this notebook's: messages of the front end get there, and are answered."""

from __future__ import annotations

import ipykernel
import pytest
from front_end import FrontEnd
from places import Place

OPENED = """
from comm import create_comm
link = create_comm(target_name="test", data={"hello": 1})
got = []
def heard(message):
    got.append(message["content"]["data"])
    print("heard", got[-1])
    link.send({"echo": got[-1]}, buffers=[bytes(each)[::-1] for each in message["buffers"]])
link.on_msg(heard)
print(link.comm_id)
"""


def test_messages_pass_in_both_directions(place: Place) -> None:
    """With their buffers; this kernel is idle once the target's callback is done, and a local cell sees what it changed."""
    page = FrontEnd(place.notebook)
    comm = place.far(OPENED).check().stdout.strip()
    assert place.notebook.open_comms() == {comm}
    for number in range(3):
        answer = page.message(comm, {"number": number}, [b"\x00\xff%d" % number])
        assert answer.stdout == f"heard {{'number': {number}}}\n"
        (echo,) = answer.of("comm_msg")
        assert echo["content"]["data"] == {"echo": {"number": number}} and bytes(echo["buffers"][0]) == b"%d\xff\x00" % number
        assert place.here("print(len(got))").stdout == f"{number + 1}\n"
    place.far("link.close()").check()
    assert not place.notebook.open_comms()


def test_messages_get_to_a_cell_that_awaits(place: Place) -> None:
    """While this kernel waits for it."""
    if place.way.endswith("-other") or ipykernel.version_info[0] < 7:
        pytest.skip("optional: ipykernel 6 keeps all messages of a shell for the end of its cell")
    if place.way.endswith("-zmq") and ipykernel.version_info < (7, 4):
        pytest.skip("optional: without the direct link it is ipykernel that lets them pass, since 7.4")
    page = FrontEnd(place.notebook)
    comm = place.far(OPENED).check().stdout.strip()
    running = place.start("import asyncio\nprint('ready')\nwhile len(got) < 2: await asyncio.sleep(0.01)\nlen(got)")
    running.until("ready")
    for number in range(2):
        page.message(comm, {"number": number})
    assert running.finish().check().result == "2"
    place.far("link.close()").check()
