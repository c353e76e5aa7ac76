"""Refusals about settings name the flags that a person types, whoever refuses."""

import dataclasses

import pytest
import torch

from facegen.config import RECIPES
from facegen.files import InputError
from facegen.training.families import build


@pytest.mark.parametrize(
    ("cfg", "settings", "words"),
    [
        ("dcgan", {"image_size": 48}, "--image-size=48: a DCGAN here makes pictures of"),
        ("dcgan", {"augment": "colour"}, "--augment=colour is not known"),
        ("stylegan2", {"cbase": 64, "cmax": 8, "image_size": 128}, "--cbase=64, --cmax=8: no channels left at 128 pixels"),
        ("stylegan3-t", {"cbase": 2, "cmax": 2, "image_size": 64}, "--cbase=2, --cmax=2: no channels left"),
        ("stylegan2", {"augpipe": "bogus"}, "--augpipe=bogus is not known"),
        ("cyclegan", {"image_size": 126, "load_size": 126}, "--image-size=126: resnet6 halves twice"),
        ("cyclegan", {"image_size": 16, "load_size": 16, "lambda_face": 1.0}, "--lambda-face=1 with --image-size=16"),
    ],
)
def test_settings_that_fit_no_network_are_refused_by_their_flags(cfg, settings, words):
    with pytest.raises(InputError) as error:
        build(dataclasses.replace(RECIPES[cfg], **settings), torch.device("cpu"))
    assert words in str(error.value)
