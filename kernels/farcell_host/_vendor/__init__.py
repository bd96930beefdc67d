"""Other projects' code carried inside, so that both ends of a session run the same version of it."""
