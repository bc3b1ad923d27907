"""The arithmetic of judging: pure functions, additive sums, and a 95 % interval beside every score."""
