"""Exercises: the number that each asks for, computed by the models; one file a chapter."""
