"""Standardise: turn clean runs into parcel time series and connectivity."""
