"""Measured: predict, then score."""
