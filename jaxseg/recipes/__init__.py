"""Holds the place of configs/, whose files a wheel has here: see pyproject.toml."""
