"""The blocks of base.py about whole images and defects: the head that decides whether
an image shows foreground, the model it was published with, and their losses."""

from typing import Any

from ml_collections import config_dict


def decision() -> dict[str, Any]:
    """An output for the whole image; jaxseg/models/_heads.py explains each head."""
    return {
        # "": none; segdec, pooled, or a module of your own with `Head`. It learns from
        # the label of the image by loss.image_cross_entropy, or from its classes
        "name": "",
        "segdec": {
            "widths": (8, 16, 32),  # channels of its convolutions
            "kernel": 5,
            "eps": 1e-3,
            "sqrt_of": "std",  # or var: see model.segdecnet
            # of the gradient that flows back into the model: 0 none of it, 1 all; into
            # the deepest map with the mask beside it,
            "features_multiplier": 0.0,
            "maximum_multiplier": 0.0,  # into the global maximum of the mask,
            "average_multiplier": 0.0,  # and into its global average
        },
        "pooled": {
            "pool": "average",  # or maximum, both
            "dropout": 0.0,
            # logits an image: 1 = whether it shows foreground; 0 = one for each class
            # of whole images of the data, learned by loss.image_class_*
            "outputs": 1,
        },
        "fields": {},  # of a module of your own
    }


def two_stage() -> dict[str, Any]:
    """Two runs as one: classify an image, then segment it where that calls for it."""
    return {
        "on": False,  # True: the recipe names both runs in get_stages()
        "image_class": "",  # the class of whole images that calls for the segmentation
        "pixel_class": "",  # of the segmentation, which other images have nothing of
        "objective": "dice_pooled",  # of that class, which the threshold makes large
    }


def resnet_classifier() -> dict[str, Any]:
    """The fields of the model resnet_classifier."""
    return {
        "depth": 50,  # 18, 34, 50, 101
        "width": 64,
        "pixel_head": False,  # True: logits at 1/32, upsampled, for terms of pixels
        "dtype": "float32",
    }


def segdecnet() -> dict[str, Any]:
    """The fields of the model segdecnet."""
    return {
        "widths": (32, 64, 64, 1024),  # channels at 1, 1/2, 1/4 and 1/8 of the size
        "repeats": (1, 3, 4, 1),  # convolutions there
        "kernel": 5,
        "top_kernel": 15,  # of the convolution at 1/8
        "decoder": False,  # True: SegDecNet++, logits at the size of the image
        "decoder_widths": (16, 16, 8),  # at 1/4, 1/2 and 1 of the size
        "decoder_repeats": (1, 4, 3),
        "skip_modules": False,  # squeeze and excitation of what the encoder hands over
        "mask_shift": False,  # a learnt shift of the logits, which else have the mean 0
        "eps": 1e-3,
        "sqrt_of": "std",  # of each channel, as published in code; or var
        "dtype": "float32",
    }


def evidence() -> dict[str, Any]:
    """What a run with a head of whole images is asked about its answers, of eval."""
    return {
        # True: scored again without the object, and with nothing but the object:
        "shortcut": False,
        "shortcut_classes": (),  # pixel classes that are the object; () = all above 0
        # maps of where the head looks, and whether their maximum for `image_class`
        # ("" = foreground, of a head that says nothing else) lies in pixels of
        # `mask_class`; "" = no maps
        "localise": {"image_class": "", "mask_class": ""},
    }


def losses() -> dict[str, dict[str, Any]]:
    """The arguments of the terms of defects and of whole images, by name."""
    emphasis = {
        "w_max": 1.0,  # the weight of the deepest pixel of the foreground
        "power": 2.0,  # of its depth as a share of the largest; 0 = all weigh w_max
        "dilate": 1,  # pixels: the window of a maximum over the label, 1 = as it is
        "per_object": False,  # the largest depth of each object, not of the image
    }
    return {
        "distance_cross_entropy": dict(emphasis),
        "coarse_cross_entropy": dict(emphasis),  # of logits at 1/8: segdecnet's
        # of config.decision; positive_weight: times the loss of positive images
        "image_cross_entropy": {"positive_weight": 1.0},
        # of config.decision.pooled.outputs=0: classes of whole images, of which one is
        # right; class_weights as those of cross_entropy, from the training images
        "image_class_cross_entropy": {
            "class_weights": config_dict.FieldReference(None, field_type=object),
            "class_weight_cap": 0.0,
            "label_smoothing": 0.0,
        },
        # the same where several classes may be right, each on its own;
        # positive_weights: a number a class, times the loss of images that show it
        "image_class_binary_cross_entropy": {
            "positive_weights": config_dict.placeholder(tuple)
        },
    }
