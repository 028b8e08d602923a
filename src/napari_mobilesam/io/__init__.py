"""Files: images in, label images and annotations in and out."""
