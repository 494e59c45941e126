"""The model and everything learned: arrays and recordings in, arrays out."""
