"""Architectures, one a file: a frozen config above its module. They know nothing of training."""
