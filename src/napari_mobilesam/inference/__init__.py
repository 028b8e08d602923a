"""Numpy in, numpy out: encode, decode, detect, everything mode."""
