"""TODO."""

# what may differ when a run goes on: it changes speed, not results
FREE = ("recipe_chosen", "data.dir", "data.workers", "data.timeout_s", "log_every")


def claim(stack: contextlib.ExitStack, workdir, config: ConfigDict) -> dict:
    """The run's record so far ({} for a new one), with the workdir ours alone.

    Process 0 holds the lock; when it refuses, every process does.
    """
    refusal, begun = None, False
    if jax.process_index() == 0:
        try:
            stack.enter_context(files.lock(workdir))
            found = files.check_config(workdir, config.to_dict(), allowed=FREE)
            begun = found == "resume" and (workdir / files.RUN).exists()
        except OSError as error:
            refusal = ConfigError(f"{workdir} cannot be written: {error}.")
        except ValueError as error:
            refusal = error
    if sharding.any_process(refusal is not None):
        raise refusal or ConfigError("process 0 refused to start and says why.")
    return files.read_json(workdir / files.RUN) if sharding.any_process(begun) else {}
