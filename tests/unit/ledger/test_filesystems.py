"""Where a write-ahead log may be used."""

from __future__ import annotations

from pathlib import Path

import pytest
from farcell.ledger.filesystems import filesystem_of, is_local

MOUNTS = r"""
rootfs / rootfs rw 0 0
/dev/sda1 / ext4 rw,relatime 0 0
proc /proc proc rw 0 0
server:/export/home /home nfs4 rw,vers=4.2 0 0
tmpfs /home/ada/local tmpfs rw 0 0
ada@gpu:/data /mnt/far\040away fuse.sshfs rw 0 0
mgs@tcp:/scratch /scratch lustre rw 0 0
/dev/gpfs0 /gpfs gpfs rw 0 0
beegfs_nodev /bee beegfs rw 0 0
//nas/share /nas cifs rw 0 0
host /shared 9p rw 0 0
what /new futurefs rw 0 0
/dev/sdb1 /twice ext4 rw 0 0
nas:/t /twice nfs rw 0 0
"""


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    file = tmp_path / "mounts"
    file.write_text(MOUNTS.lstrip())
    return file


@pytest.mark.parametrize(
    ("path", "kind", "local"),
    [
        ("/var/ledger.sqlite", "ext4", True),
        ("/home/ada/ledger.sqlite", "nfs4", False),
        ("/homes/ada/ledger.sqlite", "ext4", True),
        ("/home/ada/local/x/ledger.sqlite", "tmpfs", True),
        ("/mnt/far away/ledger.sqlite", "fuse.sshfs", False),
        ("/scratch/ledger.sqlite", "lustre", False),
        ("/gpfs/ledger.sqlite", "gpfs", False),
        ("/bee/ledger.sqlite", "beegfs", False),
        ("/nas/ledger.sqlite", "cifs", False),
        ("/shared/ledger.sqlite", "9p", False),
        ("/new/ledger.sqlite", "futurefs", False),
        ("/twice/ledger.sqlite", "nfs", False),
    ],
)
def test_the_longest_mount_point_decides(path: str, kind: str, local: bool, mounts: Path) -> None:
    """A type never heard of counts as remote; of two mounts at one point the later lies above."""
    assert (filesystem_of(Path(path), mounts), is_local(Path(path), mounts)) == (kind, local)


def test_a_link_is_followed(tmp_path: Path, mounts: Path) -> None:
    """What counts is where the file really is."""
    (tmp_path / "link").symlink_to("/scratch")
    assert filesystem_of(tmp_path / "link" / "ledger.sqlite", mounts) == "lustre"


def test_without_a_list_of_mounts_nothing_is_local(tmp_path: Path) -> None:
    """As on macOS: the slower way is right everywhere."""
    assert not is_local(tmp_path, tmp_path / "none")
