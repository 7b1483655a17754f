"""Metrics on their way to Prometheus: queue, protocol, retries."""
