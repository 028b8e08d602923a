"""Torch modules of the papers: image encoders, prompt encoder, mask decoder, detector."""
