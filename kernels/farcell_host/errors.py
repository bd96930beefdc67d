"""Errors of the parts that both sides share.

FarcellHostError
  ProtocolError     bytes or messages that break the protocol: says which side sent them and what was wrong
"""

from __future__ import annotations


class FarcellHostError(Exception):
    """Base of all errors raised by `farcell_host`."""


class ProtocolError(FarcellHostError):
    """The peer, or we, broke the protocol; the stream cannot be used any more."""
