"""The magics in a real kernel, as a front end sees them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from notebooks import Cell, Notebook
from sandbox import Sandbox


@pytest.fixture
def nb(shared_notebook: Notebook) -> Notebook:
    """One notebook for the module; each test uses names of its own."""
    return shared_notebook


def error_of(cell: Cell) -> tuple[str, str]:
    assert cell.reply["status"] == "error", cell.stdout
    return cell.reply["ename"], cell.reply["evalue"]


# -- the cell


def test_a_cell_runs_elsewhere_and_its_changes_come_back(nb: Notebook) -> None:
    """Another process ran it, and the notebook has what it changed."""
    nb.run("import os; basics = [1]; alias = basics; here = os.getpid()").check()
    cell = nb.run("%%remote\nbasics.append(2); there = __import__('os').getpid()\nbasics").check()
    assert cell.result == "[1, 2]"
    assert nb.value("alias") == [1, 2]
    assert nb.value("here != there")


def test_in_adds_names(nb: Notebook) -> None:
    """`--in` sends a name that the text does not show."""
    nb.run("secretly = 5").check()
    table = nb.run("%%remote --plan --in secretly\n1").check().displays[0]["text/plain"]
    assert re.search(r"secretly +--in +int", table)


def test_in_of_an_undefined_name_starts_nothing(plain_notebook: Notebook) -> None:
    """A typo in `--in` is told before anything starts."""
    plain_notebook.run("%load_ext farcell\nweights = 1").check()
    name, text = error_of(plain_notebook.run("%%remote --in weihgts\n1"))
    assert (name, text) == ("UsageError", "'weihgts' is not defined in this notebook. Did you mean 'weights'?")
    assert "none yet" in plain_notebook.run("%remote status").check().displays[0]["text/plain"]


@pytest.mark.parametrize(
    "cell", ["%%remote", "%%remote local\n", "%%remote\n\n  \n", "%%remote\n# nothing here", "%%time\n%%remote"]
)
def test_a_cell_without_code_does_nothing(plain_notebook: Notebook, cell: str) -> None:
    """As a local one: nothing is started, nothing is wrong."""
    plain_notebook.run("%load_ext farcell").check()
    done = plain_notebook.run(cell).check()
    assert done.stderr == "" and done.result is None
    assert "none yet" in plain_notebook.run("%remote status").check().displays[0]["text/plain"]
    if cell.startswith("%%remote"):
        assert plain_notebook.value("In[-2]") == cell.rstrip("\n")


def test_an_unknown_target_is_one_line(nb: Notebook) -> None:
    """No traceback of farcell's own, and a guess."""
    cell = nb.run("%%remote locl\n1")
    name, text = error_of(cell)
    assert name == "UsageError"
    assert text.startswith("Unknown target 'locl'. Known: local, local-attach. Did you mean 'local'?")
    assert "magics.py" not in cell.error.traceback if cell.error else cell.stderr


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("--timeout -1", "--timeout must be a positive number of seconds, not -1."),
        ("--timeout soon", "soon"),
        ("--nonsense", "--nonsense"),
        ("--in a+b", "'a+b' is not a variable name."),
    ],
)
def test_wrong_options_are_usage_errors(nb: Notebook, line: str, says: str) -> None:
    """Each says what is wrong with it."""
    name, text = error_of(nb.run(f"%%remote {line}\n1"))
    assert name == "UsageError"
    assert says in text


def test_a_syntax_error_shows_as_a_local_cells(plain_notebook: Notebook) -> None:
    """Same words, same line as locally but for the magic's line, and nothing is started."""
    plain_notebook.run("%load_ext farcell").check()
    local = plain_notebook.run("a = 1\nb = (\n").error
    remote = plain_notebook.run("%%remote\nb = (\n").error
    assert local is not None and remote is not None
    assert (remote.name, remote.value.split(" (")[0]) == (local.name, local.value.split(" (")[0])
    assert re.search(r"Cell In ?\[2\], line 2", local.traceback)
    assert re.search(r"Cell In ?\[3\], line 2", remote.traceback)
    assert "magics.py" not in remote.traceback
    assert "none yet" in plain_notebook.run("%remote status").check().displays[0]["text/plain"]


@pytest.mark.parametrize("above", ["", "%%time\n", "%%capture nothing --no-stdout\n"])
def test_line_numbers_are_the_notebooks(nb: Notebook, above: str) -> None:
    """The magic lines count."""
    cell = nb.run(f"{above}%%remote\nfine = 1\n1 / 0\n")
    assert cell.error is not None and cell.error.name == "ZeroDivisionError"
    line = above.count("\n") + 3
    assert re.search(rf"-+> {line} .*1 ?/ ?0", cell.error.traceback)


def test_the_shell_is_known_by_its_name(nb: Notebook) -> None:
    """Libraries ask for the name of its class whether they are in a notebook."""
    code = "print(type(get_ipython()), 'IPKernelApp' in get_ipython().config)"
    assert nb.run("%%remote\n" + code).check().stdout == nb.run(code).check().stdout


def test_time_above_remote(nb: Notebook) -> None:
    """`%%time` reports after the remote output, and the result is still the cell's."""
    cell = nb.run("%%time\n%%remote\nprint('hello')\n6 * 7").check()
    assert "hello" in cell.stdout
    assert "Wall time" in cell.stdout


def test_cell_magics_below_remote_run_there(nb: Notebook) -> None:
    """`%%time` and `%%timeit` measure on the target; what their code reads is found."""
    nb.run("factor = 7\ndef times(n): return n * factor").check()
    cell = nb.run("%%remote\n%%time\ntimes(6)").check()
    assert "Wall time" in cell.stdout
    assert cell.result == "42"
    assert "1 run, 1 loop" in nb.run("%%remote\n%%timeit -n1 -r1 n = factor\ntimes(n)").check().stdout


def test_what_cannot_come_here_is_a_ref_that_says_so(nb: Notebook, tmp_path: Path) -> None:
    """An open file made on the target stays there; local cells that name it are told, without a failing fetch."""
    nb.run(f"%%remote\nreport = open({str(tmp_path / 'report.txt')!r}, 'w')").check()
    shown = nb.run("report").check()
    assert (shown.stdout, shown.stderr) == ("", "")
    assert shown.result is not None and "stays there (report: an open file)" in shown.result
    name, text = error_of(nb.run("report.write('x')"))
    assert name == "NotHere" and "It stays there (report: an open file): use it in a %%remote cell" in text
    nb.run("%%remote\nreport.write('x'); report.close()\ndel report").check()
    assert (tmp_path / "report.txt").read_text() == "x"


def test_capture_above_remote(nb: Notebook) -> None:
    """`%%capture` takes the remote cell's output."""
    assert nb.run("%%capture caught\n%%remote\nprint('quiet')").check().stdout == ""
    assert nb.value("caught.stdout") == "quiet\n"


def test_remote_cells_in_a_loop_read_the_notebooks_globals(nb: Notebook) -> None:
    """`run_cell_magic` in a function: several runs under one header; a caller's locals are never read."""
    nb.run("which = 'global'\ndef go():\n    which = 'local'\n    for n in range(3):\n"
           "        get_ipython().run_cell_magic('remote', '', f'print({n}, which)')").check()  # fmt: skip
    assert nb.run("go()").check().stdout == "0 global\n1 global\n2 global\n"


def test_a_missing_name_is_a_name_error(nb: Notebook) -> None:
    """As locally."""
    assert error_of(nb.run("%%remote\nnobody_defined_this")) == ("NameError", "name 'nobody_defined_this' is not defined")


def test_timeout_interrupts_and_keeps_what_was_done(nb: Notebook) -> None:
    """`--timeout` ends the run; its state is merged as after an interrupt."""
    nb.run("steps = []").check()
    cell = nb.run("%%remote --timeout 0.5\nimport time\nfor i in range(1000):\n    steps.append(i); time.sleep(.01)")
    assert cell.error is not None
    assert 0 < nb.value("len(steps)") < 1000


def test_keep_leaves_a_new_object_on_the_target(nb: Notebook) -> None:
    """The name is a ref until a local cell reads it."""
    nb.run("%%remote --keep kept_list\nkept_list = [1, 2, 3]").check()
    assert nb.value("type(globals()['kept_' + 'list']).__name__") == "Ref"
    assert nb.run("sum(kept_list)").check().result == "6"


def test_a_local_call_fetches_what_the_function_reads(nb: Notebook) -> None:
    """The function was defined before its global went to the target."""
    nb.run("def total(): return sum(heavy)").check()
    nb.run("%%remote --keep heavy\nheavy = [1, 2, 3]").check()
    assert nb.run("total()").check().result == "6"


def test_the_magic_leaves_one_result_and_sets_out(nb: Notebook) -> None:
    """`_` and `Out` are the remote result; a second display does not appear."""
    cell = nb.run("%%remote\n40 + 2").check()
    assert len(cell.results) == 1
    assert nb.value(f"(_, Out[{cell.execution_count}])") == (42, 42)


# -- plan


def test_plan_shows_and_does_not_run(nb: Notebook) -> None:
    """`--plan` lists names, reasons, sizes and what is there already."""
    nb.run("planned = 1; ran = False").check()
    cell = nb.run("%%remote --plan\nran = True; planned").check()
    table = cell.displays[0]
    assert "planned" in table["text/plain"] and "read by the cell" in table["text/plain"]
    assert "<table>" in table["text/html"]
    assert nb.value("ran") is False


def test_plan_again_shows_what_is_there_by_now(nb: Notebook) -> None:
    """`%remote plan` plans the last remote cell as things are now."""
    nb.run("resent = list(range(50))").check()
    nb.run("%%remote\nlen(resent)").check()
    table = nb.run("%remote plan").check().displays[0]["text/plain"]
    assert re.search(r"resent .* yes +0 B", table)


# -- %remote


def test_every_subcommand_shows_a_table(nb: Notebook) -> None:
    """Plain text and HTML."""
    nb.run("%%remote\ntabled = 3").check()
    for command, word in [("status", "local"), ("targets", "local-attach"), ("vars", "tabled"), ("log", "tabled = 3")]:
        bundle = nb.run(f"%remote {command}").check().displays[0]
        assert word in bundle["text/plain"], command
        assert "<table>" in bundle["text/html"], command


def test_the_log_has_runs_that_failed_and_what_they_raised(notebook: Notebook) -> None:
    notebook.run("%load_ext farcell").check()
    notebook.run("%%remote\n1").check()
    notebook.run("%%remote\nprint('until here')\n{}['lost']")
    notebook.run("%%remote --timeout 0.3\nimport time\ntime.sleep(60)")
    notebook.run("%%remote\nimport os\nos._exit(3)")
    table = notebook.run("%remote log").check().displays[0]["text/plain"]
    head, *rows = [line for line in table.splitlines()[1:] if " local " in line or line.lstrip().startswith("cell")]
    ended = [row[head.index("ended") :] for row in rows]
    assert [re.split("  +", text)[0] for text in ended] == ["ok", "KeyError", "timed out", "kernel died"]


def test_push_and_pull(nb: Notebook) -> None:
    """A value is sent ahead, and fetched back although it was to stay."""
    nb.run("pushed = 'p' * 10").check()
    assert "pushed" in nb.run("%remote push pushed").check().displays[0]["text/plain"]
    nb.run("x = 'there'").check()
    nb.run("%%remote\nx").check()
    nb.run("x = 'here'\n%remote pull x").check()
    assert nb.value("x") == "there"
    nb.run("%%remote --keep pulled\npulled = [1]").check()
    nb.run("%remote pull pulled").check()
    assert nb.value("type(globals()['pul' + 'led']).__name__") == "list"


def test_an_unknown_subcommand_lists_the_known(nb: Notebook) -> None:
    """`%remote satus` is told what there is."""
    name, text = error_of(nb.run("%remote satus"))
    assert name == "UsageError"
    assert "status" in text and "'satus'" in text


def test_stop_ends_the_session_and_the_next_cell_starts_anew(notebook: Notebook) -> None:
    """Stop is not for ever."""
    first = notebook.run("%%remote\nimport os; first = os.getpid()").check()
    assert first.error is None
    notebook.run("%remote stop").check()
    notebook.run("%%remote\nimport os; second = os.getpid()").check()
    assert notebook.value("first != second")


# -- %remote on


def test_on_sends_all_following_cells(notebook: Notebook) -> None:
    """Until off; `%remote`, `%load_ext` and `%%local` stay here, and `In` keeps the cell as typed."""
    notebook.run("import os; home = os.getpid()").check()
    notebook.run("%remote on local").check()
    sent = notebook.run("away = os.getpid()\nprint('sent')").check()
    assert sent.stdout == "sent\n"
    notebook.run("%%local\nstayed = os.getpid()").check()
    assert "running" not in notebook.run("%remote status").check().stdout
    notebook.run("%load_ext farcell").check()
    notebook.run("%remote off").check()
    assert notebook.value("(away != home, stayed == home)") == (True, True)
    assert notebook.value(f"In[{sent.execution_count}]").rstrip("\n") == "away = os.getpid()\nprint('sent')"


def test_off_in_the_middle_of_a_cell(notebook: Notebook) -> None:
    """A cell with `%remote` in it stays here, so that the switch can always be turned back."""
    notebook.run("import os; home = os.getpid()\n%remote on").check()
    notebook.run("between = os.getpid()\n%remote off").check()
    notebook.run("after = os.getpid()").check()
    assert notebook.value("(between == home, after == home)") == (True, True)


def test_line_numbers_under_on(notebook: Notebook) -> None:
    """No magic line was typed, so none counts."""
    notebook.run("%remote on").check()
    cell = notebook.run("ok = 1\n1 / 0")
    assert cell.error is not None
    assert re.search(r"-+> 2 .*1 ?/ ?0", cell.error.traceback)
    notebook.run("%remote off").check()


def test_nested_code_of_a_local_cell_stays_local_under_on(notebook: Notebook) -> None:
    """`%time` and `run_cell` inside a `%%local` cell are part of it."""
    notebook.run("import os; home = os.getpid()").check()
    notebook.run("%remote on").check()
    notebook.run("%%local\n%time timed = os.getpid()\nget_ipython().run_cell('nested = os.getpid()')").check()
    notebook.run("%remote off").check()
    assert notebook.value("(timed == home, nested == home)") == (True, True)


def test_a_remote_cell_inside_a_remote_run_is_a_usage_error(nb: Notebook) -> None:
    """The magic reached on the target itself says so."""
    name, text = error_of(nb.run("%%remote\nget_ipython().run_cell_magic('remote', '', '1')"))
    assert name == "UsageError", text


# -- completion


def test_completion_of_targets_options_and_subcommands(nb: Notebook) -> None:
    """Tab on the magic lines."""
    code = "get_ipython().Completer.complete(line_buffer={0!r}, cursor_pos={1}, text='')[1]"

    def complete(line: str) -> list[str]:
        return list(nb.value(code.format(line, len(line))))

    assert "local-attach" in complete("%%remote lo")
    assert "--timeout" in complete("%%remote local --ti")
    assert "status" in complete("%remote st")


def test_another_order_of_sets_is_told_once(sandbox: Sandbox, notebook: Notebook) -> None:
    """When a set of several texts travels to a target whose hash seed differs, and only then."""
    folder = sandbox.jupyter_config / "farcell"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "targets.toml").write_text('[targets.other]\nbackend = "local"\nenv = { PYTHONHASHSEED = "7" }\n')
    notebook.run("numbers, one, words = {1, 2}, {'a'}, [{'a', 'b'}]").check()
    assert notebook.run("%%remote other\nlen(numbers), len(one)").check().stderr == ""
    assert "PYTHONHASHSEED" in notebook.run("%%remote other\nlen(words)").check().stderr
    assert notebook.run("%%remote other\nwords.append({'c', 'd'})").check().stderr == ""
    assert notebook.run("%%remote other\nlen(words)").check().stderr == ""
