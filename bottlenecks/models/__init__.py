"""Models: records to rows, and rows to seconds and bytes."""
