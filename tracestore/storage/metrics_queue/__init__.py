"""The queue on disk of metrics that are to be sent."""
