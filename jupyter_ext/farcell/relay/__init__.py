"""Remote messages into this notebook."""
