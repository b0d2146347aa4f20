"""Settings of Sphinx for the site."""

from __future__ import annotations

project = "aztec_ops.prover"
copyright = "Aztec Ops"
title = html_short_title = "aztec_ops.prover"
extensions = ["sphinx_antsibull_ext"]
pygments_style = "ansible"
highlight_language = "YAML+Jinja"
html_theme = "sphinx_ansible_theme"
html_show_sphinx = False
html_use_index = False
html_copy_source = False
default_role = "any"
# Links to Ansible's own documentation need the network. Without them, the build works offline.
suppress_warnings = ["ref.*", "myst.*"]
