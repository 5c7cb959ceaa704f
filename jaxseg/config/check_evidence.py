"""What can be wrong with questions about answers on whole images, before JAX starts."""

from ml_collections import ConfigDict

from jaxseg.errors import ConfigError


def check(config: ConfigDict) -> None:
    """Raises ConfigError for questions about a head that there is not."""
    block = config.eval.localise
    if block.image_class and not block.mask_class:
        raise ConfigError(
            f"config.eval.localise.image_class is {block.image_class!r}, but "
            "config.eval.localise.mask_class is '': name the pixel class in which its "
            "maps should have their maximum, or set image_class to ''."
        )
    asked = {"shortcut": config.eval.shortcut, "localise": block.mask_class}
    named = [f"config.eval.{name}" for name, value in asked.items() if value]
    if named and not config.decision.name and "." not in config.model.name:
        raise ConfigError(
            f"{' and '.join(named)} asks what answers on whole images rest on, but the "
            "model gives none: set config.decision.name, for example to 'pooled', or "
            f"leave {' and '.join(named)} as it is by default."
        )
