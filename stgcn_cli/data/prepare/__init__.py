"""Annotation pickles of the published data sets from their raw files."""
