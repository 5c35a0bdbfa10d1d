"""Skeleton action recognition from the command line, with spatial-temporal graph convolution."""

__version__ = "0.1.0"
