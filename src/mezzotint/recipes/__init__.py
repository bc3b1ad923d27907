"""Functions that return a Recipe."""
