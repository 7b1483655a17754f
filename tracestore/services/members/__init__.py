"""Who is in the cluster, and who of them is alive."""
