"""The role between receivers and ingesters."""
