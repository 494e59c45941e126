"""Derivative datasets: names, tables and sidecars that are written and read."""
