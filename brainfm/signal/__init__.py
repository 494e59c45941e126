"""The science of signals: arrays in, arrays out."""
