"""A notebook and a target, in words a test can be read in."""

from __future__ import annotations

from dataclasses import dataclass

from notebooks import Cell, Notebook, Running


@dataclass
class Place:
    """A notebook with farcell, and the target its cells are sent to."""

    notebook: Notebook
    target: str
    way: str

    def far(self, code: str, options: str = "", **request: object) -> Cell:
        """Runs a cell on the target, to its end."""
        return self.notebook.run(f"%%remote {self.target} {options}\n{code}", **request)  # type: ignore[arg-type]

    def start(self, code: str, options: str = "") -> Running:
        return self.notebook.start(f"%%remote {self.target} {options}\n{code}")

    def here(self, code: str) -> Cell:
        """Runs a cell in the notebook's own kernel."""
        return self.notebook.run(code).check()
