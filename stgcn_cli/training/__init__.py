"""The training loop: steps, losses, optimisers, schedules, monitoring, and whole runs."""
