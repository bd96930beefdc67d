"""A target with `trust = "data"`: what it sends is read as data, whatever it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from commandline import farcell
from notebooks import Notebook

TARGETS = '[targets.theirs]\nbackend = "local"\ntrust = "data"\n'


@pytest.fixture
def careful(notebook: Notebook) -> Iterator[Notebook]:
    """A notebook whose target `theirs` is trusted with data alone."""
    folder = notebook.sandbox.jupyter_config / "farcell"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "targets.toml").write_text(TARGETS)
    yield notebook


def test_values_come_and_go_as_elsewhere(careful: Notebook) -> None:
    """New ones and what a cell changes in place, with what they share; arrays and frames too."""
    careful.run("import numpy as np, pandas as pd\nrows = [1, 2]; box = {'rows': rows}; grid = np.zeros(200_000)").check()
    careful.run("frame = pd.DataFrame({'a': [1, 2]}); same, kept = grid, frame").check()
    cell = careful.run(
        "%%remote theirs\nrows.append(rows); grid[7] = 5; frame['b'] = ['x', None]; view = grid[5:9]; len(rows)"
    ).check()
    assert cell.result == "3"
    assert careful.value("rows[2] is rows and box['rows'] is rows and grid is same and grid[7] == 5 and view.base is grid")
    assert careful.value("frame is kept and list(frame.columns) == ['a', 'b'] and frame.b[0] == 'x'")
    careful.run("rows.pop(); grid[8] = 6").check()
    assert careful.run("%%remote theirs\nlen(rows), grid[8]").check().result == "(2, np.float64(6.0))"


def test_what_is_no_data_stays_there_and_says_why(careful: Notebook) -> None:
    """As a ref, which cannot be fetched; other remote cells use it. Modules of the same name stay what they are."""
    careful.run("import math\nplain = [1]").check()
    careful.run(
        "%%remote theirs\nimport math, json\nclass Thing:\n    size = 3\nthing = Thing(); plain.append(2); made = {'it': Thing()}"
    ).check()
    assert careful.value("plain") == [1, 2]
    assert careful.value("math.pi > 3")
    assert 'stays there (thing: a Thing, and the target has trust = "data")' in careful.value("repr(globals()['thing'])")
    assert "import it here" in careful.value("repr(globals()['json'])")
    refused = careful.run("globals()['made'].fetch()")
    assert refused.error is not None and "made['it']: a Thing" in refused.error.value
    assert careful.run("%%remote theirs\nmade['it'].size + thing.size").check().result == "6"


def test_an_exception_comes_as_words(careful: Notebook) -> None:
    """A class of farcell's own, with its name, its message and its traceback; a wish to end ends nothing."""
    failed = careful.run("%%remote theirs\nvalues = [1]\nvalues[7]")
    assert failed.error is not None and failed.error.name == "IndexError" and "list index" in failed.error.value
    caught = careful.run(
        "import farcell\ntry:\n    get_ipython().run_cell_magic('remote', 'theirs', 'raise SystemExit(3)')\n"
        "except farcell.errors.RemoteError as error:\n    print(type(error).__name__, error.ename, isinstance(error, SystemExit))"
    ).check()
    assert "SystemExit SystemExit False" in caught.stdout


def test_outputs_are_text_and_pictures(careful: Notebook) -> None:
    """No HTML, no script, no widget; nothing of it writes a cell."""
    cell = careful.run(
        "%%remote theirs\nfrom IPython.display import HTML, display\nimport base64\n"
        "display(HTML('<script>alert(1)</script>'))\n"
        "display({'application/javascript': 'alert(1)', 'text/html': '<b>'}, raw=True)\n"
        "png = base64.b64encode(b'\\x89PNG\\r\\n\\x1a\\n' + bytes(20)).decode()\n"
        "display({'image/png': png, 'image/svg+xml': '<svg/>', 'text/plain': 'x'}, raw=True)\n"
        "from comm import create_comm\ncomm = create_comm(target_name='jupyter.widget', data={'state': {}})\n"
        "get_ipython().set_next_input('import os')\nprint('\\x1b]52;c;eA==\\x07ok')"
    ).check()
    kinds = [set(each) for each in cell.displays]
    assert kinds == [{"text/plain"}, {"text/plain"}, {"image/png", "text/plain"}]
    assert "not shown" in cell.displays[1]["text/plain"]
    assert not cell.reply["payload"] and not careful.open_comms()
    assert "ok" in cell.stdout and "\x1b]" not in cell.stdout


EVIL = """
import os, pickle
import farcell_host.inkernel.exchange as exchange
from farcell_host.state import Payload
class Trap:
    def __reduce__(self):
        return open, ({trap!r}, 'w')
honest, honestly, imports = exchange.Exchange.collect, exchange.Exchange.copies, exchange.Exchange.imported
def evil(names=('x',)):
    nothing = {{'states': 0, 'buffers': [], 'objects': None, 'sets': [], 'replaced': None}}
    streams = [{{'names': list(names), 'data': ['buffers', 0], **nothing}}]
    header = {{'version': 1, 'streams': streams, 'modules': {{}}, 'bind': {{}}, 'refs': {{}}, 'sources': {{}}}}
    return Payload(header, [pickle.dumps(Trap(), 5)])
def is_evil(): return os.path.exists({flag!r})
exchange.Exchange.collect = lambda self, *args, **more: evil() if is_evil() else honest(self, *args, **more)
exchange.Exchange.copies = lambda self, *args: evil() if is_evil() else honestly(self, *args)
exchange.Exchange.imported = lambda self: {{'sprung_by_import': '1'}} if is_evil() else imports(self)
"""


@pytest.fixture
def evil(careful: Notebook, tmp_path: Path) -> Iterator[tuple[Notebook, Path, Path]]:
    """A target whose kernel is somebody else's, once a file is there."""
    trap, flag = tmp_path / "sprung", tmp_path / "evil"
    (careful.sandbox.folder / "sprung_by_import.py").write_text(f"open({str(trap)!r}, 'w').close()\n")
    careful.run("rows = [1]; own = rows").check()
    careful.run("%%remote theirs\nrows.append(2)").check()
    code = EVIL.format(trap=str(trap), flag=str(flag))
    careful.run(f"%%remote theirs\nexec({code!r}, {{'__name__': 'evil'}})").check()
    yield careful, trap, flag


@pytest.mark.parametrize(
    "ask",
    [
        "%%remote theirs\nrows.append(3)", "%%remote theirs\n1", "%%remote theirs\n1/0", "%remote pull rows --target theirs",
        "globals()['big'].fetch()", "import farcell; farcell.connect('theirs').session.copies(['rows'])", "rows",
        "%remote restore theirs rows",
    ],
)  # fmt: skip
def test_a_malicious_kernel_runs_nothing_here(evil: tuple[Notebook, Path, Path], ask: str) -> None:
    """Whatever it answers with: the cell fails and says why, the notebook's values stay, and honest answers count again."""
    notebook, trap, flag = evil
    notebook.run("%%remote theirs --keep big\nbig = [5]").check()
    notebook.run("%remote save theirs").check()
    if ask == "rows":  # asked for before a local cell, where something goes on there
        notebook.run(
            "%%remote theirs\nimport threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()"
        ).check()
    flag.touch()
    failed = notebook.run(ask)
    said = failed.error.value if failed.error is not None else failed.stderr
    assert f'trust = "data", and sent the name {open.__module__}.open' in said
    flag.unlink()
    assert not trap.exists()
    assert notebook.value("rows is own and rows == [1, 2]")
    assert notebook.run("%%remote theirs\n40 + 2").check().result == "42"


def test_a_detached_run_brings_back_data(careful: Notebook) -> None:
    """Its outputs are text, its values data, and what is no data a ref; so is what is shown of it later."""
    careful.run("rows = [1]; own = rows").check()
    careful.run(
        "%%remote theirs --detach\nfrom IPython.display import HTML, display\nrows.append(2); tool = lambda: 1\n"
        "print('text'); display(HTML('<script>alert(1)</script>'))"
    ).check()
    waited = careful.run("%remote wait").check()
    assert careful.value("rows is own and rows == [1, 2]")
    assert "stays there" in careful.value("repr(globals()['tool'])")
    (run,) = set(re.findall(r"\b[0-9a-f]{8}\b", careful.run("%remote log").check().displays[-1]["text/plain"]))
    shown = careful.run(f"%remote log {run} --replay").check()
    assert shown.stdout == "text\n" and "<script>" not in str([waited.outputs, shown.outputs])
    in_terminal = farcell(careful.sandbox, "logs", run, "--json").stdout
    assert '"text\\n"' in in_terminal and "<script>" not in in_terminal


def test_a_restarted_notebook_attaches_to_data(careful: Notebook) -> None:
    """What the run has changed comes from the beginning, as data."""
    gate = careful.sandbox.folder / "gate"
    code = f"import os, time\nprint('begun')\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.01)\nrows = [1]; tool = print"
    careful.start(f"%%remote theirs\n{code}").until("begun")
    careful.restart()
    careful.run("%load_ext farcell").check()
    attached = careful.start("%remote attach")
    attached.until("begun")
    gate.touch()
    attached.finish().check()
    assert careful.value("rows") == [1]
    assert "stays there" in careful.value("repr(globals()['tool'])")


def test_a_display_hook_and_capture_see_what_is_left(careful: Notebook) -> None:
    """Also where outputs go past the front end's messages."""
    captured = careful.run(
        "%%capture seen\nget_ipython().run_cell_magic('remote', 'theirs', "
        "'from IPython.display import HTML, display; display(HTML(\"<script>\")); print(1)')"
    ).check()
    assert captured.displays == []
    assert careful.value("[sorted(each.data) for each in seen.outputs]") == [["text/plain"]]
    assert careful.value("seen.stdout") == "1\n"
