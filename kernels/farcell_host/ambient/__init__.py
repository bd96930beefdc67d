"""State around the notebook's names that cells set and later ones go by: seeds, settings, the working folder, the environment.

Each kind is a provider in a file of its own. Both sides keep what they last agreed on, and only what differs from it travels.
"""

from .ambient import Ambient, providers
from .provider import Provider

__all__ = ["Ambient", "Provider", "providers"]
