"""Yours: the reader's machine."""
