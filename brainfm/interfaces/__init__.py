"""Nipype interfaces: two specs and one call; external tools as command lines."""
