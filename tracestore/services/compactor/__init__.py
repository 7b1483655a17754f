"""Blocks become fewer and larger, and go in time; several processes share the work."""
