"""The rules of self-configuration, as a table: facts in, choices out."""

import numpy as np
import pytest

from jaxseg.config import auto_rules
from jaxseg.config.auto_rules import Facts, Machine

LAPTOP = Machine("cpu", cores=2, memory_gib=16, devices=1)
GPU = Machine("gpu", cores=16, memory_gib=80, devices=1)


def facts(*, sizes=((256, 256),), images=40, shares=(0.9, 0.1), shown=None, **options):
    """`images` images of these sizes in turn; each class has its share of the pixels.

    `shown` is the share of the images that show each foreground class.
    """
    sizes = np.array([sizes[i % len(sizes)] for i in range(images)])
    present = np.ones((images, len(shares)), bool)
    for c, share in enumerate(shown or (), start=1):
        present[:, c] = np.arange(images) < share * images
    pixels = (
        np.rint(sizes.prod(1)[:, None] * np.array(shares)).astype(np.int64) * present
    )
    names = tuple(f"class{c}" for c in range(len(shares)))
    return Facts(
        sizes, pixels, present, names, **{"dtype": "uint8", "objects": None} | options
    )


def chosen(facts, machine=LAPTOP, fixed=None):
    return {c.key: c.value for c in auto_rules.choose(facts, machine, fixed)}


@pytest.mark.parametrize(
    "data, machine, wanted",
    [
        # one size that fits: whole images at their own size
        (
            dict(sizes=[(128, 96)]),
            LAPTOP,
            {"data.fit": "stretch", "data.image_size": (128, 96)},
        ),
        (
            dict(sizes=[(512, 512)]),
            GPU,
            {"data.fit": "stretch", "data.image_size": (512, 512)},
        ),
        # large objects in a large image: reduced; small ones: windows
        (
            dict(sizes=[(1024, 1024)]),
            LAPTOP,
            {"data.fit": "stretch", "data.image_size": (256, 256)},
        ),
        (
            dict(sizes=[(1024, 512)]),
            LAPTOP,
            {"data.fit": "stretch", "data.image_size": (256, 128)},
        ),
        (
            dict(sizes=[(1024, 1024)], shares=(0.999, 0.001)),
            LAPTOP,
            {"data.fit": "crop", "data.image_size": (256, 256)},
        ),
        (dict(sizes=[(1024, 1024)], objects=40 * 5000), LAPTOP, {"data.fit": "crop"}),
        # several sizes: windows of the median size, in multiples of 32
        (
            dict(sizes=[(200, 300), (220, 300), (600, 900)]),
            LAPTOP,
            {"data.fit": "crop", "data.image_size": (224, 256)},
        ),
        (
            dict(sizes=[(200, 300), (220, 300), (600, 900)]),
            GPU,
            {"data.image_size": (224, 288)},
        ),
        (
            dict(sizes=[(20, 30), (22, 30)]),
            LAPTOP,
            {"data.fit": "crop", "data.image_size": (64, 64)},
        ),
        # grey images of 8 bits are stretched one by one
        (dict(), LAPTOP, {"data.intensity.mode": "percentile"}),
        # batch: by cores, by memory, by images; a multiple of the devices
        (dict(), LAPTOP, {"batch_size": 4, "model.unet.norm": "instance"}),
        (
            dict(sizes=[(128, 128)]),
            LAPTOP,
            {
                "batch_size": 8,
                "model.unet.norm": "batch",
                "model.unet.activation": "relu",
            },
        ),
        # colours, as those of stains, are brought together image by image
        (
            dict(sizes=[(128, 128)], channels=3),
            LAPTOP,
            {"model.unet.norm": "instance", "model.unet.activation": "leaky_relu"},
        ),
        (dict(images=3), LAPTOP, {"batch_size": 3}),
        (dict(images=3, sizes=[(300, 300), (310, 300)]), LAPTOP, {"batch_size": 4}),
        (
            dict(sizes=[(512, 512)], images=500),
            GPU._replace(memory_gib=8),
            {"batch_size": 12},
        ),
        (
            dict(sizes=[(512, 512)], images=500),
            GPU._replace(devices=8),
            {"batch_size": 256},
        ),
        # depth: to a coarsest map of 8 pixels
        (dict(), LAPTOP, {"model.unet.widths": (16, 32, 64, 128, 256, 256)}),
        (dict(sizes=[(64, 128)]), LAPTOP, {"model.unet.widths": (16, 32, 64, 128)}),
        (dict(), GPU, {"model.unet.widths": (32, 64, 128, 256, 512, 512)}),
        # coarser levels learn too, where there are some and masks are whole
        (dict(sizes=[(64, 128)]), LAPTOP, {"model.unet.deep_supervision": True}),
        (dict(sizes=[(32, 64)]), LAPTOP, {"model.unet.deep_supervision": False}),
        (dict(sparse=True), LAPTOP, {"model.unet.deep_supervision": False}),
        # length: 100 times each image, within what the machine can bear
        (
            dict(images=40),
            LAPTOP,
            {"steps": 1000, "steps_per_epoch": 50, "optim.warmup_steps": 50},
        ),
        (dict(images=4), LAPTOP, {"steps": 400}),
        (dict(images=4000), LAPTOP, {"steps": 1600}),
        # rate: 5e-3 for 8 images a step in a short training, 1e-3 in a long one
        (dict(sizes=[(128, 128)]), LAPTOP, {"optim.learning_rate": 5e-3}),
        (dict(), LAPTOP, {"optim.learning_rate": 3.5e-3}),
        (dict(images=500), GPU, {"batch_size": 32, "optim.learning_rate": 2e-3}),
        # rare classes
        (
            dict(shares=(0.5, 0.3, 0.2)),
            LAPTOP,
            {"loss.cross_entropy.class_weights": "none", "sampler.name": "uniform"},
        ),
        (
            dict(shares=(0.9, 0.097, 0.003)),
            LAPTOP,
            {"loss.cross_entropy.class_weights": "sqrt", "sampler.name": "uniform"},
        ),
        (
            dict(shares=(0.8, 0.1, 0.1), shown=(1, 0.1)),
            LAPTOP,
            {"sampler.name": "by_class"},
        ),
        (
            dict(shown=(0.2,)),
            LAPTOP,
            {"sampler.name": "balanced", "sampler.balanced.share": 0.5},
        ),
        (
            dict(shares=(0.999, 0.001)),
            LAPTOP,
            {"loss.cross_entropy.class_weights": "none"},
        ),
    ],
)
def test_facts_lead_to_choices(data, machine, wanted):
    choices = chosen(facts(**data), machine)
    assert {key: choices[key] for key in wanted} == wanted


@pytest.mark.parametrize("other", [{"channels": 3}, {"dtype": "uint16"}])
def test_colours_and_16_bits_keep_the_intensities_of_the_recipe(other):
    assert "data.intensity.mode" not in chosen(facts(**other))


def test_every_choice_has_a_reason_and_comes_once():
    choices = auto_rules.choose(facts(), LAPTOP)
    assert all(len(c.reason) > 10 and "\n" not in c.reason for c in choices)
    assert len({c.key for c in choices}) == len(choices)


def test_what_the_user_set_stays_and_the_rules_build_on_it():
    fixed = {"data.image_size": (64, 64), "batch_size": 2}
    choices = chosen(facts(), LAPTOP, fixed)
    assert not fixed.keys() & choices.keys()
    assert choices["model.unet.widths"] == (16, 32, 64, 128)
    assert choices["model.unet.norm"] == "instance"
    assert choices["steps"] == 1600


def test_the_length_follows_what_the_user_set():
    choices = chosen(facts(), LAPTOP, {"steps": 30})
    assert choices["steps_per_epoch"] == 1 and choices["optim.warmup_steps"] == 1
    assert choices["eval.every_epochs"] == 1
    choices = chosen(facts(), LAPTOP, {"epochs": 100, "optim.warmup_epochs": 1.0})
    lengths = {"steps", "steps_per_epoch", "optim.warmup_steps"}
    assert not lengths & choices.keys() and choices["eval.every_epochs"] == 5
    choices = chosen(facts(), LAPTOP, {"optim.warmup_epochs": 1.0})
    assert "optim.warmup_steps" not in choices


def test_the_fields_of_another_network_are_left_alone():
    choices = chosen(facts(), LAPTOP, {"model.name": "swin_upernet"})
    assert not any(key.startswith("model.") for key in choices)


def test_a_batch_is_shared_out_equally():
    for devices in (1, 2, 3, 8):
        for images in (1, 7, 100):
            machine = GPU._replace(devices=devices)
            assert chosen(facts(images=images), machine)["batch_size"] % devices == 0


def test_one_core_is_one():
    for cores, words in ((1, "on 1 core"), (2, "on 2 cores")):
        machine = LAPTOP._replace(cores=cores)
        (why,) = (
            choice.reason
            for choice in auto_rules.choose(facts(), machine, None)
            if choice.key == "batch_size"
        )
        assert words in why
