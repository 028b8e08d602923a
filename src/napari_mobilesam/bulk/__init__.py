"""Planes larger than the encoder's field: tile by tile, here or on a cluster."""
