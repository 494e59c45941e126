"""Caches: results and prepared signals that a later call may use again."""
