"""The main job on a GPU: what was trained there is judged there."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mezzotint import api
from mezzotint.recipe import Execution


@pytest.mark.gpu
@pytest.mark.parametrize(
    "name", ["cnn-classic", "codec", "dcgan", "flow", "flow-fast", "hvae", "lossless", "vae", "vicreg", "vq"]
)
def test_what_a_gpu_trained_it_judges(
    name: str, make_recipe: Callable[..., Any], train_in: Callable[..., Any], tmp_path: Path
) -> None:
    steady = Execution(device="cuda", precision="fp32", channels_last=False, threads=1)
    training = train_in(tmp_path / "run", replace(make_recipe(name), execution=steady))
    scores = api.finish(training.run, training).scores
    assert scores
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    assert api.remeasure(training.run.folder, count=60).scores
    assert torch.cuda.max_memory_allocated() > before
