"""Query: find the runs of a dataset, validate them and plan what has to be done."""
