"""What docs/targets.md says is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from farcell import targets
from farcell.errors import UsageError
from farcell.targets import KEYS, Target

PAGE = (Path(__file__).parents[3] / "docs" / "targets.md").read_text(encoding="utf-8")
TOML = re.findall(r"^```toml\n(.*?)^```", PAGE, re.M | re.S)
TEXT = re.findall(r"^```text\n(.*?)^```", PAGE, re.M | re.S)
GOOD = '[targets.big]\ncwd = "/work"\n'


def told(folder: Path, toml: str, name: str) -> str:
    """What is answered to this file and target, as the page shows it."""
    file = folder / "farcell" / "targets.toml"
    file.parent.mkdir()
    file.write_text(toml, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        targets.load([folder]).get(name)
    return f"UsageError: {caught.value}\n".replace(str(folder), "~/.jupyter")


def test_the_example_is_right(tmp_path: Path) -> None:
    """It can be copied as it stands."""
    (tmp_path / "farcell").mkdir()
    (tmp_path / "farcell" / "targets.toml").write_text(TOML[0], encoding="utf-8")
    found = targets.load([tmp_path])
    assert found.names == ["big", "overnight", "local", "local-attach"]
    big = found.get().launch_options()
    assert (big.target, big.python, big.cwd) == ("big", "/opt/envs/big/bin/python", "/data/project")
    overnight = found.get("overnight")
    assert overnight.keep_s == overnight.idle_timeout_s == float("inf")
    assert overnight.confirm_bytes == 50_000_000_000


def test_the_example_of_costs_is_right(tmp_path: Path) -> None:
    """It can be copied as it stands, too."""
    (tmp_path / "farcell").mkdir()
    (tmp_path / "farcell" / "targets.toml").write_text(next(each for each in TOML if "currency" in each), encoding="utf-8")
    found = targets.load([tmp_path])
    target = found.get("gpu-a")
    assert (found.currency, found.budget, target.price_per_hour) == ("EUR", targets.Limits(month=500), 2.5)
    assert target.budget == targets.Limits(day=20, month=200)


def test_the_faults_are_told_in_these_words(tmp_path: Path) -> None:
    """The wrong example is answered as shown."""
    assert told(tmp_path, next(each for each in TOML if "bakend" in each), "big") == TEXT[0]


def test_the_example_of_a_broker_is_right(tmp_path: Path) -> None:
    (tmp_path / "farcell").mkdir()
    (tmp_path / "farcell" / "targets.toml").write_text(next(each for each in TOML if '"broker"' in each), encoding="utf-8")
    options = targets.load([tmp_path]).get("pool").launch_options()
    assert (options.backend, options.url) == ("broker", "https://hub.example.org/services/farcell")
    assert (options.resources.gpus, options.resources.walltime_s) == (1, 7200)


def test_an_unknown_target_is_told_in_these_words(tmp_path: Path) -> None:
    """And so is a typo in a name."""
    assert told(tmp_path, GOOD, "bigg") == TEXT[1]


def test_the_table_has_every_key_and_its_default() -> None:
    """No key is missing, none is made up; a default in code font is the true one."""
    rows = re.findall(r"^\| `(\w+)` \| .* \| (.*) \|$", PAGE, re.M)
    assert [key for key, _ in rows] == list(KEYS)
    plain = Target(name="plain")
    for key, default in rows:
        if default.startswith("`"):
            value = default.strip('`"')
            given = Target(name="plain", **{key: float(value) if value.isdigit() else value})
            assert getattr(given, key) == getattr(plain, key), key
