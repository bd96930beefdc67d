"""targets.toml: where it is found, what it may say, and how its faults are told."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from farcell import targets
from farcell.backends.broker.offered import Offers
from farcell.errors import UsageError
from pydantic import ValidationError
from sandbox import Sandbox


def written(folder: Path, text: str) -> Path:
    """A config folder whose farcell/targets.toml has this text."""
    (folder / "farcell").mkdir(parents=True, exist_ok=True)
    (folder / "farcell" / "targets.toml").write_text(textwrap.dedent(text), encoding="utf-8")
    return folder


def faults(*folders: Path) -> list[str]:
    """What loading these folders complains about, a fault a line, without the heading."""
    with pytest.raises(UsageError) as caught:
        targets.load(folders)
    return [line.strip() for line in str(caught.value).splitlines()[1:]]


def test_local_is_there_without_any_file(tmp_path: Path) -> None:
    """The local target needs no set-up and is the default."""
    found = targets.load([tmp_path])
    assert found.get().name == "local"
    assert found.names == ["local", "local-attach"]
    assert found.get().launch_options().backend == "local"


def test_the_users_file_is_found_through_jupyters_config_path(sandbox: Sandbox) -> None:
    """JUPYTER_CONFIG_DIR counts, as for everything in Jupyter."""
    written(sandbox.jupyter_config, '[targets.here]\nbackend = "local"\n')
    targets._default_files.cache_clear()
    try:
        assert "here" in targets.load().names
    finally:
        targets._default_files.cache_clear()


def test_options_reach_the_backend(tmp_path: Path) -> None:
    """What a table says is what the backend is told."""
    folder = written(
        tmp_path,
        """
        default = "gpu.a"
        [targets."gpu.a"]
        backend = "local-attach"
        python = "/usr/bin/python3"
        cwd = "/data"
        keep_s = 30
        idle_timeout_s = 60.5
        confirm_bytes = "2GB"
        env.CUDA_VISIBLE_DEVICES = "0"
        """,
    )
    target = targets.load([folder]).get()
    options = target.launch_options("nb-1")
    assert (options.target, options.backend, options.python, options.cwd) == (
        "gpu.a",
        "local-attach",
        "/usr/bin/python3",
        "/data",
    )
    assert (options.keep_s, options.idle_timeout_s, dict(options.env)) == (30, 60.5, {"CUDA_VISIBLE_DEVICES": "0"})
    assert options.notebook == "nb-1"
    assert target.confirm_bytes == 2_000_000_000


def test_a_target_cannot_be_changed(tmp_path: Path) -> None:
    """Configuration is read once and frozen."""
    with pytest.raises(ValidationError):
        targets.load([tmp_path]).get().cwd = "/"


def test_an_earlier_path_replaces_a_target_whole(tmp_path: Path) -> None:
    """User before environment before system; tables of one name are not mixed."""
    user = written(tmp_path / "user", '[targets.a]\ncwd = "/user"\n')
    system = written(tmp_path / "system", 'default = "b"\n[targets.a]\ncwd = "/system"\npython = "p"\n[targets.b]\n')
    found = targets.load([user, system])
    assert (found.get("a").cwd, found.get("a").python) == ("/user", None)
    assert found.get().name == "b"


def test_local_may_be_defined_anew(tmp_path: Path) -> None:
    """The built-in target can be given a folder or another Python."""
    assert targets.load([written(tmp_path, '[targets.local]\ncwd = "/data"\n')]).get().cwd == "/data"


def test_an_edit_counts_at_once(tmp_path: Path) -> None:
    """No restart is needed after an edit, and nothing is read again without one."""
    written(tmp_path, "[targets.a]\n")
    first = targets.load([tmp_path])
    assert targets.load([tmp_path]) is first
    written(tmp_path, "[targets.a]\n[targets.bcd]\n")
    assert "bcd" in targets.load([tmp_path]).names


def test_an_unknown_target_names_the_known_ones(tmp_path: Path) -> None:
    """A typo is answered with the choices, the likeliest one, and where targets are defined."""
    found = targets.load([written(tmp_path, "[targets.gpu-a]\n[targets.gpu-b]\n")])
    with pytest.raises(UsageError) as caught:
        found.get("gpua")
    assert str(caught.value) == (
        "Unknown target 'gpua'. Known: gpu-a, gpu-b, local, local-attach. Did you mean 'gpu-a'? "
        f"Targets are defined in {tmp_path / 'farcell' / 'targets.toml'}."
    )


def test_a_name_like_nothing_gets_no_guess(sandbox: Sandbox, tmp_path: Path) -> None:
    """No guess is better than a silly one; without any file, the one to write is named."""
    with pytest.raises(UsageError) as caught:
        targets.load([tmp_path]).get("zzz")
    assert str(caught.value) == (
        "Unknown target 'zzz'. Known: local, local-attach. "
        f"Targets are defined in {sandbox.jupyter_config / 'farcell' / 'targets.toml'}."
    )


def test_all_faults_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    """Each fault has its file, line and key, and the known choices where there are some."""
    user = written(
        tmp_path / "user",
        """\
        defualt = "a"
        [targets.a]
        bakend = "local"
        keep_s = -1
        [targets.b]
        backend = "lcoal"
        env = {A = 1}
        [targets."b c"]
        [targets.d]
        name = "e"
        """,
    )
    system = written(tmp_path / "system", "targets = 3\ndefault = 1\n")
    u, s = user / "farcell" / "targets.toml", system / "farcell" / "targets.toml"
    found = faults(user, system)
    expected = [
        f"{u}, line 1, defualt: unknown key 'defualt'. Known: default, currency, budget, targets. Did you mean 'default'?",
        f"{u}, line 3, targets.a.bakend: unknown key 'bakend'. Did you mean 'backend'?",
        f"{u}, line 4, targets.a.keep_s: Input should be greater than 0, not -1",
        f"{u}, line 6, targets.b.backend: unknown backend 'lcoal'. "
        "Known: broker, local, local-attach, slurm, ssh. Did you mean 'local'?",
        f"{u}, line 7, targets.b.env.A: Input should be a valid string",
        f"{u}, line 8, targets.b c: a name has letters, digits, '.', '_' and '-' only",
        f"{u}, line 10, targets.d.name: is given by the table's own name; leave it out",
        f"{s}, line 1, targets: must hold tables, such as [targets.gpu-a]",
        f"{s}, line 2, default: must be the name of a target",
    ]
    assert found == expected


def test_a_default_that_does_not_exist_is_a_fault(tmp_path: Path) -> None:
    """`default` must name one of the targets of all files; one with faults of its own counts as there."""
    user = written(tmp_path / "user", 'default = "gpu-x"\n[targets.gpu-a]\nkeep_s = 0\n')
    system = written(tmp_path / "system", 'default = "elsewhere"\n[targets.big]\n')
    file = user / "farcell" / "targets.toml"
    assert faults(user, system) == [
        f"{file}, line 1, default: unknown target 'gpu-x'. Known: big, local, local-attach, gpu-a. Did you mean 'gpu-a'?",
        f"{file}, line 3, targets.gpu-a.keep_s: Input should be greater than 0, not 0",
    ]


def test_the_default_may_be_a_target_of_another_file(tmp_path: Path) -> None:
    """A person's default may name what the system defines."""
    user = written(tmp_path / "user", 'default = "big"\n')
    found = targets.load([user, written(tmp_path / "system", "[targets.big]\n")])
    assert found.get().name == found.default == "big"
    assert [source.parts[-3] for source in found.sources] == ["user", "system"]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("keep_s = true", "targets.a.keep_s: Input should be a valid number, not True"),
        ('idle_timeout_s = "60"', "targets.a.idle_timeout_s: Input should be a valid number, not '60'"),
        ("confirm_bytes = true", "targets.a.confirm_bytes: must be a number of bytes or a text such as '2GB', not True"),
        ('confirm_bytes = "2 apples"', "targets.a.confirm_bytes: could not interpret byte unit: apples, not '2 apples'"),
        ('cwd = "work"', "targets.a.cwd: must be a whole path on the target, from / on, not 'work'"),
        ('cwd = "~/work"', "targets.a.cwd: must be a whole path on the target, from / on, not '~/work'"),
        (
            'python = "bin/python"',
            "targets.a.python: must be a command or a whole path on the target, from / on, not 'bin/python'",
        ),
        ('python = ""', "targets.a.python: must be a command or a whole path on the target, from / on, not ''"),
        ('env."A=B" = "secret"', "targets.a.env.A=B: no environment variable can have this name"),
        (r'env.A = "secret\u0000"', "targets.a.env.A: no environment variable can hold a zero character"),
        ("env.A = 3", "targets.a.env.A: Input should be a valid string"),
        ('env = ["A=secret"]', "targets.a.env: Input should be a valid dictionary"),
        ("backend = 3", "targets.a.backend: Input should be a valid string, not 3"),
    ],
)
def test_a_wrong_value(tmp_path: Path, line: str, text: str) -> None:
    """Each is told with what it should be; nothing is bent into shape, and no value of the environment is shown."""
    folder = written(tmp_path, f"[targets.a]\n{line}\n")
    assert faults(folder) == [f"{folder / 'farcell' / 'targets.toml'}, line 2, {text}"]


def test_a_table_outside_of_targets_is_told_its_place(tmp_path: Path) -> None:
    """`[gpu-a]` instead of `[targets.gpu-a]` is an easy slip."""
    (fault,) = faults(written(tmp_path, '[gpu-a]\ncwd = "/"\n'))
    assert fault.endswith("unknown key 'gpu-a'. Known: default, currency, budget, targets. A target's table is [targets.gpu-a].")


def test_lines_are_found_in_every_way_to_write_a_key(tmp_path: Path) -> None:
    """Dotted, quoted, inline, below comments, with Windows line ends and a byte order mark."""
    lines = [
        "\ufeff# targets",
        "",
        "[targets]",
        "a = { keep_s = 0 }  # inline",
        '"b.c".keep_s = 0',
        "[targets . 'd' ]",
        "'keep_s'= 0",
    ]
    (tmp_path / "farcell").mkdir()
    (tmp_path / "farcell" / "targets.toml").write_bytes("\r\n".join(lines).encode())
    found = [fault.split("targets.toml, ")[1].split(":")[0] for fault in faults(tmp_path)]
    assert found == ["line 4, targets.a.keep_s", "line 5, targets.b.c.keep_s", "line 7, targets.d.keep_s"]


def test_what_is_not_text_is_told_with_its_file(tmp_path: Path) -> None:
    """A binary file in its place does not end in a stack of ours."""
    folder = written(tmp_path, "")
    (folder / "farcell" / "targets.toml").write_bytes(b"\xff\xfe\x00")
    (fault,) = faults(folder)
    assert fault.startswith(f"{folder / 'farcell' / 'targets.toml'}: ") and "decode" in fault


def test_broken_toml_says_where(tmp_path: Path) -> None:
    """What is not TOML is told with file and line."""
    folder = written(tmp_path, "[targets.a\n")
    (fault,) = faults(folder)
    assert str(folder / "farcell" / "targets.toml") in fault
    assert "line 1" in fault


def test_a_target_that_is_no_table(tmp_path: Path) -> None:
    """`a = 1` under [targets] is told with the right form."""
    (fault,) = faults(written(tmp_path, "[targets]\na = 1\n"))
    assert fault.endswith("line 2, targets.a: must be a table, such as [targets.a]")


def test_paths_with_spaces_and_quotes(tmp_path: Path) -> None:
    """A config folder may be named anything."""
    folder = written(tmp_path / 'it\'s "my" folder', "[targets.a]\nx = 1\n")
    (fault,) = faults(folder)
    assert fault.startswith(f"{folder / 'farcell' / 'targets.toml'}, line 2, targets.a.x: ")


def test_all_that_is_cached_is_in_the_targets_folder(tmp_path: Path) -> None:
    """The host's own caches too: a home may be full."""
    folder = written(tmp_path, '[targets.a]\ncache_dir = "/scratch/me"\nenv = { A = "1" }\n')
    assert targets.load([folder]).get("a").launch_options().env == {"FARCELL_CACHE_DIR": "/scratch/me", "A": "1"}


def test_what_a_target_costs(tmp_path: Path) -> None:
    """The price goes to the host, for the allocation and not for each GPU; budgets are a target's, or a person's over all."""
    folder = written(
        tmp_path,
        """
        currency = "EUR"
        budget = { month = 500 }
        [targets.a]
        price_per_hour = 2.5
        [targets.a.budget]
        day = 10
        """,
    )
    found = targets.load([folder])
    target = found.get("a")
    assert target.launch_options().price_per_hour == 2.5
    assert target.budget == targets.Limits(day=10) and found.budget == targets.Limits(month=500)
    assert found.currency == "EUR"


def test_faults_of_prices_and_budgets(tmp_path: Path) -> None:
    """Each with its line and its key."""
    text = """\
        currency = "E U"
        budget = { dya = 3 }
        [targets.a]
        price_per_hour = -2
        budget = { day = 0, month = inf }
        [targets.b]
        budget = 9
        """
    found = [fault.partition(", ")[2] for fault in faults(written(tmp_path, text))]
    assert found == [
        "line 1, currency: must be a short word, such as 'EUR', not 'E U'",
        "line 2, budget.dya: unknown key 'dya'. Known: day, month. Did you mean 'day'?",
        "line 4, targets.a.price_per_hour: Input should be greater than or equal to 0, not -2",
        "line 5, targets.a.budget.day: Input should be greater than 0, not 0",
        "line 5, targets.a.budget.month: Input should be a finite number, not inf",
        "line 7, targets.b.budget: must be a table, such as { day = 10.0, month = 200.0 }, not 9",
    ]


def test_all_prices_are_in_one_currency(tmp_path: Path) -> None:
    """They are added up; a file that says none has the others'."""
    mine, silent = written(tmp_path / "mine", 'currency = "EUR"\n'), written(tmp_path / "silent", "")
    theirs = written(tmp_path / "theirs", 'currency = "CHF"\n')
    assert targets.load([silent, mine]).currency == "EUR"
    (fault,) = faults(mine, silent, theirs)
    said = f"line 1, currency: prices are in one currency, and {mine / 'farcell' / 'targets.toml'} says 'EUR'"
    assert fault == f"{theirs / 'farcell' / 'targets.toml'}, {said}"


def test_a_fault_of_a_whole_target_tells_no_value(tmp_path: Path) -> None:
    """Its environment may hold secrets."""
    (fault,) = faults(written(tmp_path, '[targets.a]\nbackend = "ssh"\nenv = { TOKEN = "secret" }\n'))
    assert fault.endswith("line 1, targets.a: a target with backend ssh needs its host")


def test_a_target_of_a_broker_says_which_and_leaves_all_else_to_it(tmp_path: Path) -> None:
    for table, fault in (
        ('backend = "broker"', "needs its url"),
        ('backend = "broker"\nurl = "ftp://x"', "must be an address"),
        ('backend = "broker"\nurl = "https://ada:pw@x/"', "must hold no password"),
        ('backend = "broker"\nurl = "https://x/"\npython = "/p"\nenv = { A = "1" }', "no env, python of yours"),
        ('backend = "broker"\nurl = "https://x/"\ntoken_file = "a"\ntoken_variable = "B"', "only one can be asked"),
    ):
        (tmp_path / "farcell").mkdir(exist_ok=True)
        (tmp_path / "farcell" / "targets.toml").write_text(f"[targets.pool]\n{table}\n")
        with pytest.raises(UsageError, match=fault):
            targets.load([tmp_path])


def test_a_target_may_be_trusted_with_data_alone(tmp_path: Path) -> None:
    """By its own table, and by the word of the broker that lends it."""
    folder = written(tmp_path, '[targets.theirs]\ntrust = "data"\n[targets.mine]\n')
    found = targets.load([folder])
    assert found.get("theirs").launch_options().takes_data_alone and not found.get("mine").launch_options().takes_data_alone
    (wrong,) = faults(written(tmp_path, '[targets.theirs]\ntrust = "none"\n'))
    assert "targets.theirs.trust" in wrong and "'data'" in wrong
    lent, _ = targets._told([], Offers("https://hub.example.org", names=("pool", "other"), of_data=("pool",)))
    assert lent.get("pool").trust == "data" and lent.get("other").trust == "all"
