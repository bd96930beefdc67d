"""A machine reached by the system's own `ssh`: its configuration, agents, jump hosts and shared connections just work."""
