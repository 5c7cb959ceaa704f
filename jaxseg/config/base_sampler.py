"""The block of base.py about the order of examples, and how often each comes."""

from typing import Any

from ml_collections import config_dict


def sampler() -> dict[str, Any]:
    """Which images an epoch is made of; each file of jaxseg/data/samplers/."""
    return {
        # or "balanced", when most images are empty; "by_class", when classes are rare;
        # "by_image_class", when classes of whole images are;
        # "frequency", all of the rarer kind and as many of the other, used least
        "name": "uniform",
        "seed": -1,  # of the order of examples; -1 = config.seed
        "balanced": {
            # of positives: a share, or a schedule (jaxseg/schedule.py); -1 = as
            # negative_keep and positive_weight imply
            "share": _any(0.5),
            "negative_keep": 1.0,  # share of the negatives that an epoch counts
            "positive_weight": 1.0,
        },
        "by_class": {
            # a number of the classes together; a number for "none of them" and each
            # class, that sum to 1; knots over training of either; -1 = equal
            "share": _any(-1.0),
        },
        "by_image_class": {
            # -1 = equal parts of the classes of whole images; or a number for
            # "none of them is known" and each class, that sum to 1
            "share": _any(-1.0),
        },
        "frequency": {"factor": 4.0},  # times ln N: the power of the chances; 0 = equal
        "uniform": {},
        "fields": {},  # of a module of your own
    }


def _any(value: Any) -> config_dict.FieldReference:
    """A number that may become a tuple, or a schedule (jaxseg/schedule.py)."""
    return config_dict.FieldReference(value, field_type=object)
