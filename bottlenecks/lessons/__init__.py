"""Lessons: cards, sliders, checks."""
