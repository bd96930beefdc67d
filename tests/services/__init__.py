"""Real servers for tests, on this one machine: an SSH server, a Slurm cluster, a bad network, a GPU's management library.

Each class here owns one, as a context manager that leaves nothing behind; `fixtures.py` makes the shared ones.
"""
