"""Magics, aliases and macros that the notebook has made, where a remote cell calls them."""

from __future__ import annotations

import pytest
from notebooks import Notebook
from sandbox import Sandbox


@pytest.mark.parametrize("line", ["m", "say you", "%say you", "hello you", "%hello you", "x = %hello you"])
@pytest.mark.parametrize("above", ["%%remote", "%%local", "%%remote\n# a comment"])
def test_a_line_means_what_it_means_without_the_magic_above(shared_notebook: Notebook, line: str, above: str) -> None:
    """IPython takes a cell of one line for a macro, an alias or a magic when it begins with the name of one."""
    nb = shared_notebook
    nb.run("get_ipython().define_macro('m', 'b = a + 1\\nprint(b)'); a = 1").check()
    nb.run("%alias say echo hi\nget_ipython().register_magic_function(lambda text: text.upper(), magic_name='hello')").check()
    here = nb.run(line).check()
    there = nb.run(f"{above}\n{line}").check()
    assert (there.result, there.stdout) == (here.result, here.stdout)


def test_who_lists_all_names(notebook: Notebook) -> None:
    """Typed without its percent sign too."""
    notebook.run("a = 1; b = 2").check()
    assert notebook.run("%%remote\nwho").check().stdout == notebook.run("who").check().stdout


def test_the_plan_names_the_magic(notebook: Notebook) -> None:
    notebook.run("%alias say echo hi").check()
    table = notebook.run("%%remote --plan\n%say you").check().displays[0]["text/plain"]
    assert "%say" in table and "called by the cell" in table


def test_a_function_whose_magic_is_of_the_notebook_calls_it(notebook: Notebook) -> None:
    """A magic that the text of the cell does not show is asked for when it is called."""
    notebook.run("get_ipython().register_magic_function(lambda text: text + '!', magic_name='loud')").check()
    notebook.run("def shout(): return get_ipython().run_line_magic('lo' + 'ud', 'a')").check()
    assert notebook.run("%%remote\nshout()").check().result == "'a!'"
    notebook.run("get_ipython().register_magic_function(lambda text: text + '?', magic_name='loud')").check()
    assert notebook.run("%%remote\nshout()").check().result == "'a?'"


def test_without_the_direct_link(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARCELL_DIRECT", "0")
    with Notebook(sandbox) as nb:
        nb.run("%load_ext farcell\n%alias say echo hi").check()
        assert nb.run("%%remote\nsay you").check().stdout == nb.run("say you").check().stdout
        nb.run("%%remote\nget_ipython().register_magic_function(lambda text: 5, magic_name='five')").check()
        assert nb.run("%five").check().result == "5"
