"""Prometheus remote write: collections to bytes, without I/O."""
