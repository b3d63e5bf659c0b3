"""Trading: orders for market intervals, their clearing and their settlement."""
