"""Metrics from spans: what is counted as spans come in, and where the counts go."""
