"""The report of a run: `build.build(workdir)` reads its files, never a model."""
