"""The wire protocol, sans I/O: bytes in and events out, intents in and bytes out. No clock, no socket, no event loop.

`messages` what travels, `frames` how it looks on the wire, `outbox` what goes first, `client` and `peer` the two ends of a
connection, `roles` who may drive. docs/architecture.md, section 1, has the tables.
"""

VERSION = (1, 1)
"""Of another first number nothing is understood; what a second one has added is asked for only where the host has it."""
HAS_FILES = (1, 1)
"""From this version on the kernels of a host serve `farcell_files_request` as it is now."""
