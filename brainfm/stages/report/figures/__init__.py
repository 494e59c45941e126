"""Figures of the reports, as SVG text with the table of data they are drawn from."""
