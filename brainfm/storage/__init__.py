"""The only code that knows names and formats on disk."""
