"""Live tables of other processes as sources of a query, and what a query of a cluster looks at."""
