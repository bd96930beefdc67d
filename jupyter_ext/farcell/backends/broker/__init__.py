"""Targets of a shared pool: a broker lends their GPUs and relays the bytes. See docs/broker.md."""
