"""Model cards, downloads that are verified, and checkpoints that are loaded safely."""
