"""Formats of other senders -> ExportTraceServiceRequest bytes."""
