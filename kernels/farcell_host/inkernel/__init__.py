"""The half of farcell that runs inside the remote kernel, a real ipykernel: install state, run a cell, collect what
changed."""
