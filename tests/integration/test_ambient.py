"""State around the names, in real kernels; the corpus in tests/transparency/corpus/ambient.py has one scenario for each kind."""

from __future__ import annotations

from pathlib import Path

import pytest
from notebooks import Notebook
from sandbox import Sandbox


def test_a_seed_set_here_counts_there_and_goes_on_here(notebook: Notebook) -> None:
    """One sequence over cells here and there, whether the target had imported the module or not."""
    draws = "[random.random(), float(np.random.rand())]"
    notebook.run(f"import random, numpy as np\nrandom.seed(1); np.random.seed(1)\nexpected = [{draws} for _ in range(3)]").check()
    notebook.run(f"random.seed(1); np.random.seed(1)\nseen = [{draws}]").check()
    notebook.run(f"%%remote\nimport random\nimport numpy as np\nseen.append({draws})").check()
    notebook.run(f"seen.append({draws})").check()
    assert notebook.value("seen == expected")


def test_what_a_failing_cell_has_set_stays_set(notebook: Notebook) -> None:
    """As it would here."""
    notebook.run("import decimal").check()
    assert notebook.run("%%remote\ndecimal.getcontext().prec = 5\n1 / 0").error
    assert notebook.value("decimal.getcontext().prec") == 5


def test_the_targets_own_folder_counts_until_the_notebook_goes_elsewhere(notebook: Notebook, tmp_path: Path) -> None:
    """`cwd` of a target is where its first cell runs; from a %cd on both are in one place, also after a restart."""
    own, other = tmp_path / "own", tmp_path / "other"
    own.mkdir()
    other.mkdir()
    folder = notebook.sandbox.jupyter_config / "farcell"
    folder.mkdir()
    (folder / "targets.toml").write_text(f'[targets.elsewhere]\nbackend = "local"\ncwd = "{own}"\n')
    where = "%%remote elsewhere\nimport os; os.getcwd()"
    assert notebook.run(where).check().result == repr(str(own))
    notebook.run(f"%cd -q {other}").check()
    assert notebook.run(where).check().result == repr(str(other))
    notebook.run("%remote restart elsewhere").check()
    assert notebook.run(where).check().result == repr(str(other))
    notebook.run(f"%%remote elsewhere\nos.chdir({str(own)!r})").check()
    assert notebook.value("__import__('os').getcwd()") == str(own)


def test_credentials_set_here_stay_here(notebook: Notebook) -> None:
    """An environment variable that may hold a secret is not sent; another one is, and comes back changed."""
    notebook.run("%%remote\n1").check()
    notebook.run("import os\nos.environ.update(MY_TOKEN='secret', MY_SETTING='one')").check()
    cell = notebook.run(
        "%%remote\nseen = os.environ.get('MY_TOKEN'), os.environ['MY_SETTING']\nos.environ['MY_SETTING'] = 'two'\nseen"
    )
    assert cell.check().result == "(None, 'one')"
    assert notebook.value("(os.environ['MY_TOKEN'], os.environ['MY_SETTING'])") == ("secret", "two")


@pytest.fixture
def drawing(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three packages that draw random numbers when they are imported, as rich does; each side finds them where it has its own."""
    folder = sandbox.folder / "installed"
    folder.mkdir()
    for name in ("drawing_a", "drawing_b", "drawing_c"):
        (folder / f"{name}.py").write_text("import random\nnumber = random.random()\nclass Kept: pass\n")
    monkeypatch.setenv("PYTHONPATH", str(folder))


def test_a_first_import_elsewhere_draws_nothing(drawing: None, notebook: Notebook) -> None:
    """The plain notebook imports a package once, and only then does the package draw: whichever side has it later."""
    notebook.run("import random, drawing_a; random.seed(1)").check()
    there = notebook.run("%%remote\nimport drawing_a, random\nfirst = random.random()\nimport drawing_b; random.seed(2)").check()
    assert not there.stderr
    assert notebook.run("first == random.Random(1).random()").check().result == "True"
    assert notebook.run("import drawing_b; random.random() == random.Random(2).random()").check().result == "True"


def test_a_value_whose_module_is_not_imported_there_yet_draws_nothing(drawing: None, notebook: Notebook) -> None:
    notebook.run("%%remote\n1").check()
    notebook.run("import random, drawing_c; kept = drawing_c.Kept(); random.seed(3)").check()
    notebook.run("%%remote\nrandom.random()").check()
    expected = "was = random.Random(3); was.random(); "
    assert notebook.run("%%remote\ntype(kept).__name__").check().result == "'Kept'"
    assert notebook.run(expected + "random.random() == was.random()").check().result == "True"


def test_what_an_import_draws_is_drawn_where_nobody_has_imported_it(drawing: None, notebook: Notebook) -> None:
    notebook.run("import random; random.seed(4)").check()
    notebook.run("%%remote\nimport drawing_a").check()
    cell = notebook.run("was = random.Random(4); drawing_a.number == was.random(), random.random() == was.random()").check()
    assert cell.result == "(True, True)"
