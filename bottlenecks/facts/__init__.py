"""Facts: records and how they are looked up; units; input checks."""
