"""Corpus: collect standardised recordings of many datasets."""
