"""Choosers by the command: what is chosen, and why, is printed and kept."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from mezzotint import catalog

Say = Callable[..., subprocess.CompletedProcess[str]]
FIXED = ["--set", "execution.threads=1", "--set", "execution.precision=fp32", "--set", "execution.channels_last=false"]


def test_train_gan_chooses_one_and_says_why(say: Say, home: Path) -> None:
    words = ["--images", "128", "--set", "batch=32", "--set", "milestones=0", *FIXED]
    done = say("train", "gan", "digits", *words, "--out", "run")
    why = json.loads((home / "run" / "run.json").read_text())["why"]
    assert [line for line in done.stdout.splitlines() if line.startswith("chosen: ")] == [f"chosen: {w}" for w in why]
    recipe = json.loads((home / "run" / "recipe.json").read_text())
    assert catalog.entry(recipe["name"]).module == "gan"
    assert recipe["name"] in why[2]
    assert recipe["method"]["looking"]["target"] == 0.6  # digits are few
    assert "measured" in say("recipes").stdout
