"""The one label value that is no class."""

IGNORE = 255  # this pixel is not labelled and counts nowhere
