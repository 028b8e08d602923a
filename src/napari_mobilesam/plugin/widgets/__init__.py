"""Dock widgets: thin views of the controller."""
