"""TODO."""


def begin(
    workdir: pathlib.Path, config: ConfigDict, made: build.Setup, known: dict
) -> dict:
    """run.json at the start: what is fixed now, and how often it was begun."""
    info = {
        "name": config.name,
        "recipe": config.recipe,
        "created": known.get("created", _now()),
        "finished": None,
        "status": "running",
        "resumed": known.get("resumed", -1) + 1,
        "epochs": config.epochs,
        **environment.environment(),
        **build.describe(made),
    }
    if jax.process_index() == 0:
        if (labels := made.labels()) is not None:
            sparse_labels.store(workdir / sparse_labels.FILE, labels)
            train, view = made.splits["train"], made.parts.view
            label_pictures.write(workdir, train, view, labels)
        files.write_json(workdir / files.RUN, info)
    return info


def end(workdir, config, made, info: dict, meta: dict) -> dict:
    """run.json at the end."""
    rows = files.History(workdir).rows() if jax.process_index() == 0 else []
    seconds = sum(float(row["seconds"]) for row in rows)
    realised = [float(row["share_realised"]) for row in rows]
    shares = made.plan.shares
    info |= {
        "finished": _now(),
        "status": "finished",
        "best": meta["best"],
        "images_seen": int(rows[-1]["images_seen"]) if rows else 0,
        "seconds": seconds,
        "skipped_steps": sum(int(row["skipped_steps"]) for row in rows),
        "sampler": {
            "name": config.sampler.name,
            "share_first": shares[0],
            "share_last": shares[-1],
            "share_realised": float(np.mean(realised)) if realised else None,
        },
    }
    if jax.process_index() == 0:
        files.write_json(workdir / files.RUN, info)
    return info


def _now() -> str:
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")
