"""What the engine can be asked, as values: evaluated here, or in parts elsewhere."""
