"""What tests let worker processes do: count, err, crash, swell and never end."""

import ctypes
import os
import time

import numpy as np

from jaxseg.errors import ConfigError, DataError, NotWritten


def task(item):
    """The result that the word of an item asks for, or its misfortune."""
    word, number = item
    if word == "fails":
        raise DataError(f"number {number} is wrong.")
    if word == "is set wrongly":
        raise ConfigError("the setting is wrong.")
    if word == "fills the disk":
        raise NotWritten(28, "the disk is full.")
    if word == "has a mistake":
        raise KeyError(number)
    if word == "crashes":
        ctypes.string_at(0)
    if word == "leaves":
        os._exit(number)
    if word == "swells":
        np.ones((number, 2**20))
    if word == "never ends":
        while True:
            pass
    if word == "sleeps":
        time.sleep(number)
    if word == "prints":
        print("this is no answer", flush=True)
        os.write(1, b"nor is this\n")
    return [word, number, os.getpid()]


def arrays(number):
    """Arrays, bytes, numbers of numpy and nested lists."""
    return {
        "image": np.full((2, 3), number, np.uint16),
        "empty": np.zeros((0, 2)),
        "parts": [b"bytes" * number, {"flag": np.bool_(True), "half": np.float32(0.5)}],
        "pair": (1, None),
    }


def crash_at_third(item, reading=None, form=None):
    """What the workers of a folder do, until they come to s003."""
    if item.id == "s003":
        ctypes.string_at(0)
    from jaxseg.data.datasets._folder import examples, facts

    return examples.packed(item, form) if form else facts.packed(item, reading)
