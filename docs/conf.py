"""Sphinx: the Markdown of this folder as a site. `make docs` builds it.

The pages also read well where they are, on a code host: what only the site needs (links out of this folder, the reference of the
command line, blocks of code beside each other) is added by the extensions in ``_ext`` while the site is built.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from bitesize import __version__

project = "bitesize"
author = "the authors of bitesize"
project_copyright = author
version = release = __version__
language = "en"
smartquotes = False  # -- begins options

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "public_names",
    "command_line",
    "flow_chart",
    "side_by_side",
    "outside_links",
    "page_context",
]
root_doc = "index"
templates_path = ["_templates"]
exclude_patterns = ["_build", "_ext", "_templates"]
suppress_warnings = ["myst.header"]  # included pages begin below the first level

# Markdown
myst_enable_extensions = ["colon_fence", "deflist", "tasklist"]
myst_heading_anchors = 4
myst_links_external_new_tab = False
highlight_language = "text"

# Reference: one page for each public name. Types are in the signatures of the code, so they are added to the descriptions.
autosummary_generate = True
autosummary_ignore_module_all = False
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
autodoc_type_aliases = {
    name: name
    for name in (
        "ArrayLike",
        "DTypeLike",
        "NDArray",
        "Data",
        "Labels",
        "LabelsAs",
        "Layout",
        "Last",
        "Mode",
        "Pages",
        "Step",
    )
}
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
python_maximum_signature_line_length = 72
maximum_signature_line_length = 72
default_role = "name"  # `Loader` in a docstring is a link, `labels=` is code; see public_names

nitpicky = True
# Names of other packages would need their inventories, and so a network: public_names makes no links of them.

# Links: anchors within the site are checked by every build, other sites only by `make docs-links`.
linkcheck_timeout = 20
linkcheck_retries = 2
linkcheck_workers = 8
linkcheck_anchors_ignore_for_url = [r"https://github\.com/.*"]
linkcheck_ignore = [r"http://localhost.*", r"https://registry\.example\.com.*"]

html_theme = "furo"
html_title = "bitesize"
html_static_path = ["_static"]
html_favicon = "_static/logo.svg"
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "light_css_variables": {
        "color-brand-primary": "#0b5cad",
        "color-brand-content": "#0b5cad",
        "color-brand-visited": "#6a3fa0",
    },
    "dark_css_variables": {
        "color-brand-primary": "#7cb8ff",
        "color-brand-content": "#7cb8ff",
        "color-brand-visited": "#c9a6f5",
    },
}
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_exclude = ".linenos, .gp, .go"
