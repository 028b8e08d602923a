"""How good masks and instances are: IoU, matching, average precision."""
