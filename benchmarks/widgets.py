"""Widgets and displays of remote cells, against the same made by local ones."""

from __future__ import annotations

import itertools
import statistics

from figures import Figure, interleave, ratio
from frontend import FrontEnd

ROUNDS, WARM_UP = 150, 15
SLIDER = """
import ipywidgets as widgets
{name} = widgets.IntSlider(max=1_000_000)
heard_{name} = widgets.IntText()
def follow_{name}(change): heard_{name}.value = change.new
{name}.observe(follow_{name}, "value")
"""
UPDATES = """
from IPython.display import display
handle = display(0, display_id=True)
for number in range(1000):
    handle.update(number)
"""
MANY = "import ipywidgets as widgets\nbox = widgets.VBox([widgets.FloatSlider(number / 200) for number in range(66)])\nNone"


def measure() -> list[Figure]:
    with FrontEnd("%load_ext farcell") as front_end:
        models = {}
        for name, magic in (("local", ""), ("remote", "%%remote\n")):
            cell = SLIDER.format(name=name) + f"print({name}.model_id)"
            models[name] = front_end.run(magic + cell).stdout.strip()
        numbers = itertools.count(1)
        moves = interleave(
            {name: lambda model=model: front_end.update(model, {"value": next(numbers)}) for name, model in models.items()},
            ROUNDS,
            WARM_UP,
        )
        cells = {
            f"{name}, {where}": lambda code=magic + code: front_end.run(code).seconds
            for name, code in (("updates", UPDATES), ("widgets", MANY))
            for where, magic in (("local", ""), ("remote", "%%remote\n"))
        }
        shown = interleave(cells, 7, 1)
    late = {name: statistics.quantiles(seconds, n=20)[-1] for name, seconds in moves.items()}
    return [
        Figure("a slider moved, callback done, to local", ratio(moves, "remote", "local"), 2, True, samples=moves),
        Figure("the same, 95th percentile", late["remote"] / late["local"], 2, True),
        Figure(
            "1,000 updates of a display, rate to local",
            ratio(shown, "updates, local", "updates, remote"),
            0.7,
            False,
            samples=shown,
        ),
        Figure("200 widgets made in one cell, to local", ratio(shown, "widgets, remote", "widgets, local"), 2, True),
    ]
