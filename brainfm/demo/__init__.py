"""The demonstration dataset and the command that runs both levels on it."""
