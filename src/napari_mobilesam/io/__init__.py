"""Images, labels and annotation formats on disk."""
