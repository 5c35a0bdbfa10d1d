"""Annotation pickles from files of any format: convert, merge, validate."""
