"""Sphinx configuration."""

import sys
from pathlib import Path

from sphinx_gallery.sorting import ExplicitOrder, FileNameSortKey

import brainfm

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))
import house_figure  # noqa: E402

(DOCS / "explanations" / "house.svg").write_text(house_figure.draw(), encoding="utf8")

project = "brainfm"
author = "The brainfm developers"
copyright = "The brainfm developers"
release = version = brainfm.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "_templates", "examples", "auto_examples/**/index.rst"]
templates_path = ["_templates"]
suppress_warnings = ["config.cache"]  # the order of the gallery is a class, which cannot be pickled

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"/plot_",
    "within_subsection_order": FileNameSortKey,
    "subsection_order": ExplicitOrder(
        [f"examples/{name}" for name in ("recordings", "embeddings", "evaluation", "pretraining")]
    ),
    "nested_sections": False,
    "backreferences_dir": "reference/generated/backreferences",
    "doc_module": ("brainfm",),
    "reference_url": {"brainfm": None},
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "min_reported_time": 1,
    "remove_config_comments": True,
    "plot_gallery": "True",
}

html_theme = "pydata_sphinx_theme"
html_title = "brainfm"
html_static_path = ["_static"]
html_css_files = ["brainfm.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 7,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "show_prev_next": True,
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
    "secondary_sidebar_items": {
        "**": ["page-toc"],
        "index": [],
        "explanations/design": [],
    },
}
html_sidebars = {"index": [], "glossary": [], "troubleshooting": [], "whats_new": []}
