"""The first losses of every recipe on digits: a refactor changes none, and a change is made on purpose.

`pytest tests/golden --rewrite-golden` writes them anew; the changelog says why under *Numbers*.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from mezzotint import catalog
from mezzotint.training import loop as looping
from mezzotint.training import run as runs

GOLDEN = Path(__file__).with_name("losses.json")
STEPS = 10
TOLERANCE = 1e-4
"""Other processors add up in another order; ten steps let that grow to some 1e-5."""


def first_losses(name: str, digits: Any, make_recipe: Any, folder: Path) -> list[dict[str, float]]:
    import threading
    import time

    recipe = make_recipe(name, steps=STEPS)
    run = runs.begin(folder, recipe, digits.spec, digits.digest)
    steps = looping.Training(run, recipe, digits, time.monotonic()).steps(threading.Event())
    return [{k: float(f"{v:.7g}") for k, v in report.losses.items()} for report in steps]


@pytest.mark.parametrize("name", sorted(set(catalog.RECIPES) - {"detector", "flow-color"}))
def test_first_losses_are_as_they_were(
    name: str,
    data_of: Any,
    make_recipe: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    rewrite_golden: bool,
) -> None:
    monkeypatch.setattr(looping, "LOG_SECONDS", 0.0)  # a report a step
    found = first_losses(name, data_of(name), make_recipe, tmp_path / "run")
    assert len(found) == STEPS
    stored = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    if rewrite_golden:
        GOLDEN.write_text(json.dumps({**stored, name: found}, indent=1, sort_keys=True) + "\n")
        return
    assert name in stored, "a new recipe: write its numbers with --rewrite-golden"
    for step, (now, then) in enumerate(zip(found, stored[name], strict=True)):
        assert now == pytest.approx(then, rel=TOLERANCE, abs=1e-6), f"step {step}"
