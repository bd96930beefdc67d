"""What a local cell reads through the notebook's own functions."""

from __future__ import annotations

import textwrap
from typing import Any

from farcell.capture.functions import reached


def notebook(cells: str) -> dict[str, Any]:
    """A namespace in which these definitions have run."""
    namespace: dict[str, Any] = {"__name__": "__main__", "weights": 1, "scale": 2, "other": 3}
    exec(textwrap.dedent(cells), namespace)
    return namespace


def test_a_function_leads_to_what_it_reads() -> None:
    """Also through a function that it calls, and through recursion."""
    names = notebook(
        """
        def predict(): return inner() + scale
        def inner(): return [weights for _ in range(2)] and predict
        """
    )
    assert reached(["predict"], names) == {"predict", "inner", "scale", "weights"}


def test_a_class_and_its_instances_lead_to_what_their_methods_read() -> None:
    """Methods, properties and class methods, inherited ones too."""
    names = notebook(
        """
        class Base:
            @classmethod
            def make(cls): return other
        class Model(Base):
            def fit(self): return weights
            @property
            def size(self): return scale
        model = Model()
        """
    )
    assert {"weights", "scale", "other"} <= reached(["model"], names)
    assert {"weights", "scale", "other"} <= reached(["Model"], names)


def test_words_in_strings_and_foreign_functions_lead_nowhere() -> None:
    """A large value is not fetched because a message mentions it."""
    names = notebook("def say(): return 'weights'\nfrom textwrap import dedent\n")
    assert reached(["say", "dedent", "nosuch"], names) == {"say", "dedent"}
