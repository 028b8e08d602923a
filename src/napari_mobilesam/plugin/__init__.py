"""The targets of ``napari.yaml``; the only room that knows napari and Qt."""
