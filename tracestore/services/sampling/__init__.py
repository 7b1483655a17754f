"""Which traces are stored: policies of tenants, what they say of traces, and what is remembered."""
