"""A distilled flow in 1, 2 and 4 steps beside its teacher at 50 looks at the network: Fréchet distance and speed.

python benchmarks/distilled.py RUN --features RUN --out benchmarks/results/distilled.json

RUN is one of `flow-fast`, which keeps the teacher's network too. The teacher draws as its recipe says, in as many steps
as 50 looks admit; where it is guided by class a step looks twice. Looks are counted, not reckoned. Speeds are taken by
turns, the median of the rounds; everything is drawn as `mezzotint generate` does.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch

import mezzotint
from mezzotint import drawing, machine, measure
from mezzotint.methods.fast import Fast
from mezzotint.methods.flow import Flow
from mezzotint.types import Way

LOOKS = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--features", required=True, help="a recogniser trained on these pictures")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--timed", type=int, default=500, help="pictures of a round")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    model, ruler = mezzotint.load(asked.run), mezzotint.load(asked.features).extractor()
    data = mezzotint.load_data(asked.data, size=model.spec.height, channels=model.spec.channels)
    model.check_fit(data)
    fast = model.method
    assert isinstance(fast, Fast), f"{asked.run} is no run of flow-fast"
    ways: dict[str, Any] = {"teacher": with_looks(fast.teacher, LOOKS)}
    ways |= {f"student in {steps}": fast.drawing_with(Way(steps=steps)) for steps in fast.config.all_steps}
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(asked.rounds):
        for name, method in ways.items():
            rates[name].append(speed(method, asked.timed))
    rows = {}
    for name, method in ways.items():
        card = measure.measure(method, data, count=asked.count, extractor=ruler, weights=str(model.card["weights"]))
        rows[name] = {"drawing": method.way_of_drawing, "looks": looks_of(method), "scores": scores(card)}
        rows[name] |= {"images_per_second": statistics.median(rates[name]), "rates": rates[name]}
        first = rows["teacher"]
        value = rows[name]["scores"]["frechet"]["value"]
        rows[name]["frechet_by_teachers"] = value / first["scores"]["frechet"]["value"]
        rows[name]["times_faster"] = statistics.median(
            a / b for a, b in zip(rates[name], rates["teacher"], strict=True)
        )
        print(name, {k: v for k, v in rows[name].items() if k not in ("scores", "rates")}, flush=True)
    facts = {"recipe": model.recipe.name, "weights": model.card["weights"], "seconds": model.card["seconds"]}
    kept = ("drawn", "reference", "floor_from", "extractor", "split")
    result = {"run": facts, "protocol": {key: card.protocol[key] for key in kept}, "rows": rows}
    if asked.out:
        asked.out.write_text(json.dumps({**result, "machine": machine.facts()}, indent=1) + "\n")


def with_looks(teacher: Flow, most: int) -> Flow:
    """Drawing in as many steps as `most` looks admit."""
    drawn = (teacher.drawing_with(Way(steps=steps)) for steps in range(most, 0, -1))
    return next(method for method in drawn if looks_of(method) <= most)


def looks_of(method: Any) -> int:
    """How often a network sees a picture while it is drawn."""
    network, seen = getattr(method, "student", None) or method.network, 0

    def count(module: Any, inputs: Any) -> None:
        nonlocal seen
        seen += len(inputs[0])

    hook = network.register_forward_pre_hook(count)
    try:
        with drawing.using(method):
            method.generate([0], torch.zeros(1, dtype=torch.int64) if method.classes else None)
    finally:
        hook.remove()
    return seen


def speed(method: Any, count: int) -> float:
    began = time.perf_counter()
    drawing.draw(method, range(count))
    return count / (time.perf_counter() - began)


def scores(card: Any) -> dict[str, Any]:
    """Of whole sets; the classes' own are left out."""
    return {name: vars(score) for name, score in card.scores.items() if "[" not in name}


if __name__ == "__main__":
    main()
