"""Collections as text for those who scrape."""
