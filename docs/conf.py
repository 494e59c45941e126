"""Sphinx configuration."""

import brainfm

project = "brainfm"
author = "The brainfm developers"
release = version = brainfm.__version__

extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.autosummary"]
myst_enable_extensions = ["colon_fence"]
exclude_patterns = ["_build"]
html_theme = "pydata_sphinx_theme"
html_title = "brainfm"
numpydoc_show_class_members = False
autodoc_member_order = "bysource"
