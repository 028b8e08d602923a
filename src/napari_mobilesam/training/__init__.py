"""Training: synthetic scenes, prompted crops, and encoders taught through the frozen decoder."""
