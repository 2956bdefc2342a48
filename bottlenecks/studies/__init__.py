"""Studies: questions asked of the models."""
