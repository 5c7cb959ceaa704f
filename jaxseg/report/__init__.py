"""Writes pages about a run, or about several, from their files, never from a model."""
