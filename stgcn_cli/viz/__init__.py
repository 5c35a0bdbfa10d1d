"""Plots, animations and self-contained HTML pages."""
