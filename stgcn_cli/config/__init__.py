"""What defines an experiment: presets, skeleton layouts, class names, published systems and their files."""
