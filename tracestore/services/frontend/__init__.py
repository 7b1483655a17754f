"""Has queries answered by the queriers of the cluster."""
