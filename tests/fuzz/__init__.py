"""Fuzzing: valid files mutated by the thousand. `python -m tests.fuzz TARGET --inputs N --seed S` repeats a run."""
