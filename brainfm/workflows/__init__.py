"""Nipype workflows: names and wires only."""
