"""Asking a store from the outside: over HTTP, or straight on its data directory."""
