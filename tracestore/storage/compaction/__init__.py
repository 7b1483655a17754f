"""Blocks into fewer and larger ones, in which each trace is whole."""
