"""Healthy runs that the tests of doctor examine, and spoil."""

import pytest
from support import doctored, runs


@pytest.fixture(scope="session")
def phantoms():
    """The case of a healthy run on phantoms: its costly parts are made once."""
    return doctored.case(
        runs.config(
            "pneumothorax",
            **{
                "epochs": 200,
                "sampler.balanced.negative_keep": 0.5,
                "sampler.balanced.positive_weight": 1.0,
                "augment.rotate_degrees": 20.0,
            },
        )
    )


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """The case of a healthy run on a folder of images."""
    directory = doctored.folder(tmp_path_factory.mktemp("folder") / "my_images")
    return doctored.case(doctored.folder_config(directory))
