"""Command: the command line, a file for each verb."""
