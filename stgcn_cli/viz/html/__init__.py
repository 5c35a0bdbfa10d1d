"""Self-contained HTML pages: templates, styles and scripts."""
