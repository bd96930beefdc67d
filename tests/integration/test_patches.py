"""What a notebook sets on modules of libraries is so on both sides; the corpus has the rest (`modules`)."""

from __future__ import annotations

from notebooks import Notebook


def test_what_was_set_before_the_session_and_after_a_restart(notebook: Notebook) -> None:
    """Cells are looked at that ran when there was no session, and a new kernel is told of all of it."""
    notebook.run(
        "import colorsys\nreal = colorsys.hls_to_rgb\ncolorsys.hls_to_rgb = lambda *a: 'patched'\ncolorsys.n = 1"
    ).check()
    cell = notebook.run("%%remote\ncolorsys.n += 1\nprint(colorsys.hls_to_rgb(0, 0, 0), colorsys.n)").check()
    assert cell.stdout == "patched 2\n"
    notebook.run("%remote restart").check()
    assert notebook.run("%%remote\ncolorsys.hls_to_rgb(0, 0, 0), colorsys.n").check().result == "('patched', 2)"
    notebook.run("%%remote\ncolorsys.hls_to_rgb = real; del colorsys.n").check()
    cell = notebook.run("colorsys.hls_to_rgb is real, colorsys.hls_to_rgb(0, 0, 0), hasattr(colorsys, 'n')").check()
    assert cell.result == "(True, (0, 0, 0), False)"


def test_what_cannot_travel_is_refused_or_told(notebook: Notebook) -> None:
    """Refused where the cell reads the module, also through a function; told once when a remote cell has set it."""
    notebook.run("import colorsys, threading\ncolorsys.lock = threading.Lock()\ndef f(): return colorsys.n").check()
    assert notebook.run("%%remote\n1 + 1").check().result == "2"
    for code in ("colorsys.pi = 3", "f()"):
        error = notebook.run(f"%%remote\n{code}").error
        assert error is not None
        assert error.value == "colorsys.lock: a lock. The cell was not run. Make it inside the remote cell"
    notebook.run("del colorsys.lock").check()
    cell = notebook.run("%%remote\nimport colorsys, threading\ncolorsys.lock = threading.Lock()").check()
    assert "colorsys.lock, set by the cell, cannot travel: on the target only it is so." in cell.stderr
    assert notebook.run("%%remote\ncolorsys.lock.locked()").check().stderr == ""
    assert notebook.run("hasattr(colorsys, 'lock')").check().result == "False"


def test_a_module_that_only_the_target_has(notebook: Notebook, tmp_path) -> None:
    """What a remote cell sets on it is there in the next one, and nothing here fails."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / "fc_only_there.py").write_text("n = 1\n")
    place = repr(str(folder))
    notebook.run(
        f"%%remote\nimport sys\nsys.path.insert(0, {place})\nimport fc_only_there as m\nsys.path.remove({place})"
    ).check()
    notebook.run("%%remote\nm.n = 2").check()
    assert notebook.run("%%remote\nm.n").check().result == "2"
