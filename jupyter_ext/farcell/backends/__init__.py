"""Ways to get a kernel host, one a file."""
