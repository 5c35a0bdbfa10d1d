"""Fetching one file over an unreliable network: asking, partial files, locks, retries. What to fetch: `download.py`."""
