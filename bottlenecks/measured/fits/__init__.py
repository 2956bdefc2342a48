"""Fits: constants from measurements."""
