"""Slurm clusters: jobs whose batch step is the kernel host."""
