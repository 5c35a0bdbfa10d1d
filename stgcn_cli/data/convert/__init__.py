"""Annotation pickles from anybody's files: convert, merge, validate."""
