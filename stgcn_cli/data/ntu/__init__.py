"""The NTU RGB+D format: sample names, .skeleton files, pre-normalisation."""
