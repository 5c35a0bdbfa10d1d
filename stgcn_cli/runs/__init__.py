"""Run folders and checkpoints: reading, writing, identifying, converting, resuming."""
