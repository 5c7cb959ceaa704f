"""TODO."""

CHOICES = ("safetensors", "jaxseg")


class Trained(NamedTuple):
    """What a run learned, and what one must know to use it."""

    variables: Any  # numpy, those that were scored
    model: str
    facts: dict[str, Any]


def arrays(trained: Trained, *, format: str) -> tuple[dict[str, np.ndarray], str]:
    """({name: array}, title of the names).

    "jaxseg": everything under its own names. "safetensors": under the published names
    of the model, as far as they go (of a U-Net, its encoder); a model that nobody else
    has keeps its own. Raises ConfigError for another format.
    """
    if format not in CHOICES:
        raise ConfigError(f"--format is {format!r}: choose one of {list(CHOICES)}.")
    own = format == "jaxseg"
    names = published_names.own() if own else published_names.published(trained.model)
    return into_model.collect(trained.variables, names), names.title


def write(path: pathlib.Path, named: dict[str, np.ndarray], facts: dict) -> None:
    """Writes a safetensors file with `facts` as JSON in its metadata.

    Raises ConfigError where there is a file already: it is never replaced.
    """
    metadata = {key: json.dumps(value) for key, value in facts.items()}
    # "pt" is what transformers asks of a file before it reads it
    content = safetensors.numpy.save(named, metadata={"format": "pt", **metadata})
    try:
        with path.open("xb") as file:
            file.write(content)
    except FileExistsError:
        raise _exists(path) from None
    except OSError:
        path.unlink(missing_ok=True)
        raise


def check_free(path: pathlib.Path) -> None:
    """Raises ConfigError where `path` exists, or its folder does not."""
    if path.exists():
        raise _exists(path)
    if not path.parent.is_dir():
        raise ConfigError(f"there is no folder {path.parent} to write {path.name} to.")


def _exists(path):
    return ConfigError(f"{path} exists and is not replaced: give another --output.")
