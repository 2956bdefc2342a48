"""Lessons: cards, sliders, checks and the record of them; the alphabet, sheets, and the contents page."""
