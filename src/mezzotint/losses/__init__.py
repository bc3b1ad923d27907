"""Losses as pure functions with one value per picture: the caller averages."""
