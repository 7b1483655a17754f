"""The role that answers queries."""
