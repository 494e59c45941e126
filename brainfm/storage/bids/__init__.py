"""Raw BIDS datasets: find files, read sidecars, validate content."""
