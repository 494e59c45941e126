"""The encoder: windows, tokens, transformer and readout."""
