"""How Sphinx builds the pages: ``make docs`` writes them into build/docs. No network is needed."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import cloudedge_pl

project = "cloudedge_pl"
author = "The cloudedge_pl founders"
copyright = f"2026, {author}"
version = release = cloudedge_pl.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "myst_parser",
    "config_keys",
]
exclude_patterns = ["_ext"]
smartquotes_action = "D"  # dashes only: names and values are quoted as Python writes them
highlight_language = "text"

# Markdown
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# API
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 88
autodoc_inherit_docstrings = False  # Lightning's are written for its own pages
autosummary_generate = False  # its tables link to the entries below them on the same page
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True  # properties have entries of their own

# Pages
html_theme = "furo"
html_title = f"cloudedge_pl {release}"
html_show_sourcelink = False
