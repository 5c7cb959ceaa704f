"""What can be wrong with targets and rules of objects, before JAX starts."""

from ml_collections import ConfigDict

from jaxseg import lookup
from jaxseg.errors import ConfigError
from jaxseg.postprocess import objects

# rules that need what one target predicts
NEEDS = {"border": "border", "star": "star"}


def check(config: ConfigDict) -> None:
    """Raises ConfigError for a wrong name, and for blocks that do not fit together."""
    target, rule = config.target.name, config.objects.rule
    lookup.check("targets", target)
    if rule:
        lookup.check(objects.FOLDER, rule)
    objective = config.objects.objective
    if objective not in objects.OBJECTIVES:
        raise ConfigError(
            f"config.objects.objective is {objective!r}: "
            f"{lookup.hint(objective, objects.OBJECTIVES)}"
        )
    shares = config.objects.min_area_shares
    if not shares or not all(0 <= share <= 1 for share in shares):
        raise ConfigError(
            f"config.objects.min_area_shares is {tuple(shares)}: give one share or "
            "more of the median object, from 0 to 1; (0,) leaves "
            "config.objects.min_area."
        )
    wanted = NEEDS.get(rule, target)
    if wanted != target and "." not in target:
        raise ConfigError(
            f"config.objects.rule is {rule!r}, which needs a network that learns "
            f"{wanted!r}, but config.target.name is {target!r}: set it to {wanted!r}, "
            "or config.objects.rule to 'watershed'."
        )
    if target not in ("classes", "regions") and config.supervision.name != "full":
        raise ConfigError(
            f"config.target.name is {target!r}, which is learnt from whole objects, "
            f"but config.supervision.name is {config.supervision.name!r}: set it to "
            "'full', or the target to 'classes'."
        )
    if target == "border":
        _class_weights(config)


def _class_weights(config: ConfigDict) -> None:
    """ConfigError for class weights by name: nobody counts the pixels of borders."""
    for name, block in config.loss.items():
        weights = block.get("class_weights")
        if block.get("weight") != 0 and isinstance(weights, str) and weights != "none":
            raise ConfigError(
                f"config.loss.{name}.class_weights is {weights!r}, but the pixels of "
                "config.target.name='border' are not counted: give a number for each "
                "class and one more for the border, such as 1,1,3."
            )
