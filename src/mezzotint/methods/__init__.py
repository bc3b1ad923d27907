"""One idea a file: networks and losses that make a Method."""
