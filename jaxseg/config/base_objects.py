"""The blocks of base.py about objects: what a network learns of them, how they are
found, and the losses that need them."""

from typing import Any

from ml_collections import config_dict


def target() -> dict[str, Any]:
    """What the channels of the network mean; each file of jaxseg/targets/ says more."""
    return {
        # classes; border, distance, star, which learn objects from their ids; or
        # regions, each class within the one before
        "name": "classes",
        "border": {"width": 1},  # pixels of an object that are its border
        "distance": {"reach": 32},  # pixels: what lies deeper in an object is as deep
        "star": {"n_rays": 32, "reach": 64},  # reach: the longest ray, pixels
        # classes above 0, the outermost first; () = in order
        "regions": {"order": ()},
        "fields": {},  # of a module of your own
    }


def objects() -> dict[str, Any]:
    """How objects are found in what is predicted; settings 0 or False are off."""
    return {
        # "": no objects; components, watershed, border, star, or a module of your own;
        # its settings are chosen on validation (jaxseg/postprocess/objects/)
        "rule": "",
        "objective": "f1_50",  # what that choice makes large: F1 at an IoU of 0.5
        # of each object, in this order:
        "fill_holes": False,
        "opening": 0,  # radius of a disc, pixels: thin parts are cut off
        "min_area": 0,  # pixels
        # validation chooses one, as a share of its median object, and above min_area
        "min_area_shares": (0.0, 0.125, 0.25, 0.5),
        "min_circularity": 0.0,  # 4 pi area / perimeter^2, 1 for a disc
        "largest": 0,  # only so many objects of an image
    }


def losses() -> dict[str, dict[str, Any]]:
    """The arguments of the terms that learn objects, by name."""
    return {
        # cross-entropy that counts the gaps between objects most (U-Net, 2015)
        "border_cross_entropy": {
            "w0": 10.0,  # the weight that a narrow gap adds
            "sigma": 5.0,  # pixels: how fast it falls with the width of the gap
            "gap": 1,  # pixels of touching objects that become background
            "class_weights": config_dict.FieldReference(None, field_type=object),
            "class_weight_cap": 0.0,
        },
        # of target.name="distance"; beta: errors below it cost their square
        "distance": {"beta": 0.1},
        # of target.name="regions"; weights: of each region, () = all 1
        "region_cross_entropy": {"weights": ()},
        "region_dice": {"smooth": 1.0},
        # of target.name="star"
        "object_probability": {},
        "star_rays": {},
    }
