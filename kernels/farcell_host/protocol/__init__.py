"""The wire protocol, sans I/O: bytes in and events out, intents in and bytes out. No clock, no socket, no event loop.

`messages` what travels, `frames` how it looks on the wire, `outbox` what goes first, `client` and `peer` the two ends of a
connection, `roles` who may drive. docs/architecture.md, section 1, has the tables.
"""

VERSION = (1, 0)
