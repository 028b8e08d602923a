"""The command line: one module a command, all of them under ``napari-mobilesam``."""
