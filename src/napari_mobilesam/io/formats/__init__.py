"""One module a format; each has ``write`` and, where a mask can come back, ``read``."""
