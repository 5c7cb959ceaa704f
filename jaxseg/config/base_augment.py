"""The keys of augmentation with their defaults: part of base.py."""

from typing import Any


def augment() -> dict[str, Any]:
    """Of image and mask together; magnitudes are "up to", 0 is off."""
    return {
        "flip_horizontal": 0.0,  # probability; 0 where left and right differ
        "flip_vertical": 0.0,  # probability; 0.5 for anything that is seen from above
        "rotate_degrees": 0.0,  # either way; 180 for anything that is seen from above
        "rotate_probability": 1.0,
        "scale": (1.0, 1.0),  # smallest and largest
        "scale_probability": 1.0,
        "shift": 0.0,  # of the side
        "shift_probability": 1.0,
        "shear_degrees": 0.0,
        "shear_probability": 1.0,
        "affine_probability": 1.0,  # of rotation, scale, shift, shear at all
        "border": "constant",  # 0 and unlabelled outside; or reflect: both mirrored
        "elastic_pixels": 0.0,
        "elastic_cells": 4,  # of the grid that bends, each way
        "elastic_probability": 1.0,
        "brightness": 0.0,  # of the range
        "brightness_probability": 1.0,
        "contrast": 0.0,
        "contrast_probability": 1.0,
        "gamma": 0.0,
        "gamma_probability": 1.0,
        "noise": 0.0,  # standard deviation, of the range
        "noise_probability": 1.0,
        "clip": False,  # tones to the range: it erases dim objects, labels stay
    }


def mix() -> dict[str, Any]:
    """Of the images of a batch with one another: probabilities, 0 is off."""
    return {
        "erase": 0.0,  # of an image: a rectangle becomes its mean, and unlabelled
        "erase_area": (0.02, 0.2),  # smallest and largest share of the image
        "cutmix": 0.0,  # of an image: a rectangle, with its mask, from another one
        "cutmix_alpha": 1.0,  # of the beta distribution of its share; 1 = uniform
        "mixup": 0.0,  # of a batch: blended images, the loss blended alike
        "mixup_alpha": 0.2,  # of the beta distribution of the blend
    }
