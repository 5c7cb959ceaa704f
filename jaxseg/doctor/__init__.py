"""An audit of data, config and pipeline before anything is trained."""
