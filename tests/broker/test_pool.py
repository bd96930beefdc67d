"""Accounts leased one after the other: nothing of one lease is there for the next, and nothing but theirs is ever removed."""

from __future__ import annotations

import ast
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hostclient import is_alive, wait_until
from services.people import BrokerOfPeople, People

LEAVES = """
import ctypes, os, subprocess, sys
home = os.path.expanduser("~")
name = os.path.basename(home)
open(home + "/secret", "w").write("ann's")
open(home + "/.bashrc", "w").write("evil")
deep = os.open(home, os.O_RDONLY)
for _ in range(1200):  # deeper than a recursion, and than open files
    os.mkdir("d", dir_fd=deep)
    inner = os.open("d", os.O_RDONLY, dir_fd=deep)
    os.close(deep)
    deep = inner
os.close(deep)
os.makedirs(home + "/closed/inner")
open(home + "/closed/inner/file", "w").close()
os.chmod(home + "/closed", 0)
os.symlink(OUTSIDE, home + "/link")
os.symlink(OUTSIDE, home + "/closed-link")
os.mkfifo(home + "/fifo")
os.link(home + "/secret", home + "/hard")
os.makedirs("/tmp/" + name + "/x")
open("/dev/shm/" + name, "w").close()
shm = ctypes.CDLL(None).shmget(0x6661, 4096, 0o1600)
left = subprocess.Popen(["sleep", "600"], start_new_session=True, env={})
print(left.pid, shm)
"""

BOMB = """
import subprocess, sys
program = '''
import os, sys, time
deadline = time.monotonic() + 20
while time.monotonic() < deadline:
    if os.fork():
        sys.exit()
    os.setsid()
    time.sleep(0.001)
'''
for _ in range(8):
    subprocess.Popen([sys.executable, "-c", program], start_new_session=True, env={})
"""


@pytest.fixture
def outside(people: People) -> Iterator[Path]:
    """A folder of root's, of which a link in a home tells, and that anybody may write to."""
    folder = people.folder / "outside"
    folder.mkdir()
    folder.chmod(0o777)
    (folder / "kept").write_text("kept")
    (folder / "kept").chmod(0o666)
    yield folder
    subprocess.run(["rm", "-rf", str(folder)], check=True)


def test_nothing_of_a_lease_is_left_for_the_next(people: People, broker_of_people: BrokerOfPeople, outside: Path) -> None:
    home, name = Path(people.entry("p1").pw_dir), people.name("p1")
    host = broker_of_people.start("ann", "pool", "p1")
    code = LEAVES.replace("OUTSIDE", repr(str(outside)))
    left, segment = broker_of_people("run", host=host, code=code).split()
    assert is_alive(int(left)) and any(each[1] == segment for each in _segments())
    with pytest.raises(RuntimeError, match="was not wiped after its last lease"):
        broker_of_people.start("bob", "pool", "p1", fence=2)
    assert is_alive(int(left)), "who does not get an account ends nothing in it"
    other = people.asked("signal", name, "another-lease", "KILL"), people.asked("wipe", name, "another-lease")
    assert all(done.returncode == 0 and "is held by another lease" in done.stderr for done in other)
    assert is_alive(int(left)) and (home / "secret").exists()
    broker_of_people("save_and_end", host=host)
    assert wait_until(lambda: not is_alive(int(left)))
    assert list(home.iterdir()) == [] and home.stat().st_mode & 0o777 == 0o700
    assert not (people.runtime / name).exists()
    assert not Path("/tmp", name).exists() and not Path("/dev/shm", name).exists()
    assert not any(each[1] == segment for each in _segments())
    assert (outside / "kept").read_text() == "kept", "a link is removed, never what it leads to"
    after = broker_of_people.start("bob", "pool", "p1", fence=3)
    broker_of_people("end", host=host)
    found = broker_of_people("run", host=after, code="import os; print(sorted(os.listdir(os.path.expanduser('~'))))")
    assert set(ast.literal_eval(found)) <= {".cache", ".ipython"}, "what its own kernel has made"


def test_a_lease_that_is_over_does_not_claim_to_have_saved_anything(people: People, broker_of_people: BrokerOfPeople) -> None:
    host = broker_of_people.start("ann", "pool", "p1")
    broker_of_people("drive", host=host, code="kept = 1")
    broker_of_people("save_and_end", host=host)
    told = broker_of_people("told")
    assert any("nothing stays on this target when a lease is over" in text for text in told)
    assert not any("Saved:" in text for text in told)


def test_two_leases_hold_two_accounts_that_see_nothing_of_each_other(people: People, broker_of_people: BrokerOfPeople) -> None:
    first, second = broker_of_people.start("ann", "pool", "p1"), broker_of_people.start("bob", "pool", "p2")
    broker_of_people("run", host=first, code="open('secret', 'w').write('x'); print(1)")
    home = people.entry("p1").pw_dir
    code = f"""
import os
for path in ({home!r}, {home!r} + "/secret", "/proc/{first["pid"]}/environ", {first["runtime"]!r}):
    try:
        os.listdir(path) if os.path.basename(path) != "environ" else open(path).read()
        print("READ", path)
    except PermissionError:
        print("refused")
"""
    assert broker_of_people("run", host=second, code=code).split() == ["refused"] * 4
    broker_of_people("end", host=first)
    assert broker_of_people("run", host=second, code="print('here')") == "here"
    with pytest.raises(RuntimeError, match="holds no account of 'shared''s pool"):
        broker_of_people.start("cid", "pool", "ann")


def test_only_accounts_of_the_pool_are_wiped(people: People) -> None:
    for who in ("ann", "broker"):
        kept = Path(people.entry(who).pw_dir, "kept")
        kept.write_text("kept")
        done = people.asked("wipe", people.name(who), "lease")
        assert done.returncode == 1 and kept.read_text() == "kept", done.stderr
        kept.unlink()
    assert people.asked("wipe", "root", "lease").returncode == 1


def test_a_home_that_is_not_where_the_configuration_says_is_never_wiped(people: People, outside: Path) -> None:
    """Each of these has a file in the home that must be there afterwards."""
    home, homes, moved = Path(people.entry("p2").pw_dir), people.folder / "pool", people.folder / "moved"
    kept = home / "kept"
    kept.write_text("kept")

    def refused(words: str) -> None:
        done = people.asked("wipe", people.name("p2"), "lease")
        assert done.returncode == 1 and words in done.stderr, done.stderr

    (homes / ".farcell-pool").rename(people.folder / "mark")
    refused("has no file .farcell-pool")
    (people.folder / "mark").rename(homes / ".farcell-pool")
    homes.chmod(0o777)
    refused("must be root's own")
    homes.chmod(0o711)
    home.rename(moved)
    home.symlink_to(moved)
    refused("without symbolic links")
    home.unlink()
    moved.rename(home)
    os.chown(home, people.entry("bob").pw_uid, -1)
    refused("is not a folder of")
    os.chown(home, people.entry("p2").pw_uid, -1)
    for wrong in ("/home", "/", "/tmp", str(people.folder), str(people.folder / "homes"), str(homes) + "/../pool"):
        text = people.config.read_text()
        people.config.write_text(text.replace(f"homes = {homes}\n", f"homes = {wrong}\n"))
        refused("homes" if wrong in ("/home", "/", "/tmp") or ".." in wrong else "the home of")
        people.configure()
    assert kept.read_text() == "kept"
    done = people.asked("wipe", people.name("p2"), "lease")
    assert done.returncode == 0, done.stderr
    assert not kept.exists() and (outside / "kept").read_text() == "kept"


def test_nothing_is_wiped_where_something_is_mounted_in_the_home(people: People, outside: Path) -> None:
    home = Path(people.entry("p2").pw_dir)
    (home / "mounted").mkdir()  # and root's own still when it is wiped
    (home / "kept").write_text("kept")
    if subprocess.run(["mount", "--bind", str(outside), str(home / "mounted")], capture_output=True, check=False).returncode != 0:
        pytest.skip("optional: this machine lets nobody mount")
    try:
        done = people.asked("wipe", people.name("p2"), "lease")
        assert done.returncode == 1 and "is mounted on" in done.stderr and "nothing was wiped" in done.stderr
        assert (home / "kept").exists() and (outside / "kept").read_text() == "kept"
    finally:
        subprocess.run(["umount", str(home / "mounted")], check=True)
    assert people.asked("wipe", people.name("p2"), "lease").returncode == 0
    assert list(home.iterdir()) == []


def test_what_cannot_be_removed_keeps_the_account_out_of_use(people: People, broker_of_people: BrokerOfPeople) -> None:
    """Somebody else's folder in a home that was opened to all: the account is lent to nobody, and the broker is told."""
    home = Path(people.entry("p2").pw_dir)
    host = broker_of_people.start("ann", "pool", "p2")
    broker_of_people("run", host=host, code="import os; os.chmod(os.path.expanduser('~'), 0o777); print(1)")
    trap = home / "trap"
    done = people.run("bob", ["sh", "-c", f"mkdir -p {trap}/inner && touch {trap}/inner/file"])
    assert done.returncode == 0
    with pytest.raises(RuntimeError, match="is lent to nobody"):
        broker_of_people("end", host=host)
    with pytest.raises(RuntimeError, match="was not wiped after its last lease"):
        broker_of_people.start("bob", "pool", "p2", fence=2)
    subprocess.run(["rm", "-r", str(trap)], check=True)
    broker_of_people("end", host=host)
    assert broker_of_people("run", host=broker_of_people.start("bob", "pool", "p2", fence=3), code="print('here')") == "here"


def test_a_fork_bomb_ends_with_its_lease(people: People, broker_of_people: BrokerOfPeople) -> None:
    """It starts itself anew whenever one of its processes is killed."""
    host = broker_of_people.start("ann", "pool", "p1")
    broker_of_people("run", host=host, code=BOMB)
    broker_of_people("end", host=host)
    found = subprocess.run(["pgrep", "-u", people.name("p1")], capture_output=True, text=True, check=False)
    assert not any(is_alive(int(pid)) for pid in found.stdout.split())


def _segments() -> list[list[str]]:
    return [line.split() for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]]
