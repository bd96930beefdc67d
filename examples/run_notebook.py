"""Runs a notebook headless and prints each cell's output as it arrives: `python examples/run_notebook.py NOTEBOOK`.

Then it prints farcell's own record of the remote cells (`%remote log`): what was sent, what came back, bytes, seconds.
The exit status is 1 if a cell failed. Nothing is written to the notebook.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

CELL_TIMEOUT_S = 600


class Printer(NotebookClient):  # type: ignore[misc]
    """An nbclient that shows what it hears."""

    def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
        """Called by nbclient for each iopub message of the cell that runs."""
        show(msg["msg_type"], msg["content"])
        return super().process_message(msg, cell, cell_index)


def show(kind: str, content: dict[str, Any]) -> None:
    if kind == "stream":
        print(content["text"], end="", flush=True)
    elif kind in ("display_data", "execute_result", "update_display_data"):
        print(as_text(content["data"]), flush=True)
    elif kind == "error":
        print("\n".join(content["traceback"]), flush=True)


def as_text(data: dict[str, str]) -> str:
    image = data.get("image/png")
    text = data.get("text/plain", "")
    return f"{text}  [png, {len(image) * 3 // 4:,} bytes]" if image else text


def run(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell("%remote log"))
    client = Printer(notebook, timeout=CELL_TIMEOUT_S, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}})
    with client.setup_kernel():
        for index, cell in enumerate(notebook.cells):
            if cell.cell_type == "markdown":
                print(f"\n\033[1m{cell.source}\033[0m" if sys.stdout.isatty() else f"\n{cell.source}")
            else:
                print("\n" + "\n".join(f"    | {line}" for line in cell.source.splitlines()), flush=True)
                client.execute_cell(cell, index)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("notebook", type=Path)
    try:
        run(parser.parse_args().notebook)
    except CellExecutionError:
        print("\nThe cell above failed; the notebook was stopped.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
