"""Commands of the program: each parses its options, makes one call, and renders the result."""
