"""Which of the notebook's names a cell reads, found before it runs."""

from .reads import Needs, Reads, is_python, reads

__all__ = ["Needs", "Reads", "is_python", "reads"]
