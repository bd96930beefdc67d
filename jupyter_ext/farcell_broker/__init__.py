"""The broker: a service that lends GPUs of shared targets to many people, by fair share, within quotas, and accounts for them."""
