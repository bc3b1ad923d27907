"""Training speed of ConvLSTM beside a plain PyTorch loop of the same cells, and forecasts of moving things by budget.

python benchmarks/forecasting.py speed --out benchmarks/results/forecasting-speed.json
python benchmarks/forecasting.py quality --data moving-mnist --out benchmarks/results/forecasting-quality.json

`speed`: the same weights, clips and losses in both; first twenty steps in fp32 whose losses must agree, then steps a
second of both in turns. The plain loop is what a tutorial writes: a cell that concatenates input and output, one step
after the other, torch's own layout, fp32. `quality`: each recipe as a user types it, in turn, with the same minutes,
judged on `--count` clips of the test set (the protocol's whole one where it is not given).
"""

import argparse
import hashlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mezzotint import catalog, compare, machine
from mezzotint.data import clips
from mezzotint.data.loader import Batches
from mezzotint.methods.forecaster import Forecaster
from mezzotint.networks.recurrent import Recurrent, Stack
from mezzotint.recipe import Recipe, with_setting
from mezzotint.training import run as runs
from mezzotint.types import Batch, DataSpec

STEPS = 20
"""Whose losses are compared."""
BATCH = 16
COUNT = 10_000
"""Clips of the protocol's test set."""
CONVERGED = "in OpenSTL's table of models trained to convergence (Adam, OneCycle, three trials)"
PUBLISHED = {
    "ConvLSTM-S, 200 epochs of 10,000 clips": 29.80,
    f"ConvLSTM-S, {CONVERGED}": 46.26,
    f"PredRNN, {CONVERGED}": 25.04,
    "SimVP with gSTA, 2,000 epochs": 15.05,
}
"""Squared error a frame on Moving MNIST, 10 → 10, as OpenSTL reports it: anchors of far longer schedules on GPUs."""


class PlainCell(nn.Module):
    """One step of ConvLSTM, as tutorials write it."""

    def __init__(self, inputs: int, width: int, kernel: int) -> None:
        super().__init__()
        self.gates = nn.Conv2d(inputs + width, 4 * width, kernel, padding=kernel // 2)

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        i, f, o, g = self.gates(torch.cat([x, h], 1)).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


class PlainForecaster(nn.Module):
    """Layers of plain cells, step by step through a clip, feeding on what they say where they are not shown it."""

    def __init__(self, like: Recurrent) -> None:
        super().__init__()
        self.patch, self.width = like.config.patch, like.config.width
        assert isinstance(like.cells, Stack)
        cells: list[PlainCell] = []
        for theirs in like.cells.layers:
            cell = PlainCell(theirs.look.in_channels, self.width, like.config.kernel)
            cell.gates.weight.data = torch.cat([theirs.look.weight, theirs.recall.weight], 1).detach().clone()
            cell.gates.bias.data = theirs.look.bias.detach().clone()
            cells.append(cell)
        self.cells = nn.ModuleList(cells)
        self.leave = nn.Conv2d(self.width, like.leave.out_channels, 1)
        self.leave.load_state_dict(like.leave.state_dict())

    def forward(self, frames: Tensor, context: int, fed: Tensor | None) -> Tensor:
        folded = F.pixel_unshuffle(frames, self.patch)
        n, steps, _, height, width = folded.shape
        states = [(folded.new_zeros(n, self.width, height, width),) * 2 for _ in self.cells]
        said: list[Tensor] = []
        for t in range(steps - 1):
            x = folded[:, t]
            if t >= context:
                shown = torch.zeros(n, dtype=torch.bool) if fed is None else fed[:, t - context]
                x = torch.where(shown[:, None, None, None], x, said[-1])
            for i, cell in enumerate(self.cells):
                states[i] = cell(x, *states[i])
                x = states[i][0]
            said.append(self.leave(x))
        return F.pixel_shuffle(torch.stack(said, 1), self.patch)


def adam(network: nn.Module) -> torch.optim.Adam:
    return torch.optim.Adam(network.parameters(), lr=1e-3)


def plain_step(network: PlainForecaster, method: Forecaster, optimizer: torch.optim.Adam, batch: Batch) -> float:
    fed = method._fed(batch, batch.images.shape[1] - method.context)
    said = network(batch.images, method.context, fed)
    loss = (said - batch.images[:, 1:]).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def our_step(method: Forecaster, optimizer: torch.optim.Adam, batch: Batch, low: bool) -> float:
    with torch.autocast("cpu", torch.bfloat16, enabled=low):
        loss = method.loss(batch, "forecast").total
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def speed(asked: argparse.Namespace) -> dict[str, Any]:
    """Agreement of the losses, and the steps a second of both in turns."""
    data = clips.load(asked.data)
    stream = Batches(data, "train", BATCH, seed=0)
    recipe = catalog.recipe("convlstm", data.spec, asked.minutes)
    torch.manual_seed(0)
    ours = recipe.method.build(data.spec)
    assert isinstance(ours, Forecaster)
    assert isinstance(ours.network, Recurrent)
    plain = PlainForecaster(ours.network)

    def batch_at(step: int) -> Batch:
        return Batch(stream.at(step * BATCH)[0], progress=step / (4 * STEPS), seed=step)

    optimizers = adam(ours), adam(plain)
    pairs = [
        (our_step(ours, optimizers[0], batch_at(s), False), plain_step(plain, ours, optimizers[1], batch_at(s)))
        for s in range(asked.steps)
    ]
    print(*(f"{a:.6f} {b:.6f}" for a, b in pairs), sep="\n")
    batch = batch_at(STEPS)  # a quarter of the way: some frames are shown, some fed back
    ways: dict[str, Callable[[], float]] = {
        "ours, bf16": lambda: our_step(ours, optimizers[0], batch, True),
        "ours, fp32": lambda: our_step(ours, optimizers[0], batch, False),
        "plain, fp32": lambda: plain_step(plain, ours, optimizers[1], batch),
    }
    for take in ways.values():
        take()
    rounds: list[dict[str, float]] = []
    for _ in range(asked.rounds):
        row: dict[str, float] = {}
        for name, take in ways.items():
            began, used = time.perf_counter(), time.process_time()
            for _ in range(asked.each):
                take()
            row[name] = asked.each / (time.perf_counter() - began)
            row[f"{name}, per processor second"] = asked.each / (time.process_time() - used)
        rounds.append(row)
    medians = {name: statistics.median(r[name] for r in rounds) for name in rounds[0]}
    ratios = [r["ours, bf16"] / r["plain, fp32"] for r in rounds]
    return {
        "protocol": f"one training step of {BATCH} clips of {asked.data}, 10 → 10, rounds interleaved; medians",
        "machine": machine.facts(),
        "threads": torch.get_num_threads(),
        "parameters": sum(p.numel() for p in ours.parameters()),
        "largest relative difference of losses in fp32": max(abs(a / b - 1) for a, b in pairs),
        "steps a second": medians,
        "ratio to the plain loop": {
            "median": statistics.median(ratios),
            "least": min(ratios),
            "most": max(ratios),
        },
    }


def asked_for(name: str, spec: DataSpec, asked: argparse.Namespace) -> Recipe:
    """The recipe that would be trained now."""
    recipe = catalog.recipe(name, spec, asked.minutes)
    for setting in asked.set:
        recipe = with_setting(recipe, setting, catalog.kinds())
    return recipe


def run_of(recipe: Recipe, asked: argparse.Namespace) -> Path:
    """The folder in which this very recipe was trained, or will be; one that holds another recipe is left alone."""
    plain = asked.runs / f"{recipe.name}-{asked.data}-{asked.minutes:g}"
    if not plain.exists():
        return plain
    found = runs.find(plain).recipe(catalog.kinds())
    alike = replace(found, data=recipe.data, budget=recipe.budget, execution=recipe.execution)
    key = hashlib.sha256(recipe.to_json().encode()).hexdigest()[:8]
    return plain if alike.to_json() == recipe.to_json() else plain.with_name(f"{plain.name}-{key}")


def judged(run: Path, count: int) -> float | None:
    """Measure a run again whose card has fewer clips than are asked for; the seconds that it took."""
    if json.loads((run / "score.json").read_text())["protocol"]["clips"] >= count:
        return None
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "mezzotint", "measure", str(run), "--count", str(count)], check=True)
    return time.monotonic() - began


def quality(asked: argparse.Namespace) -> dict[str, Any]:
    """Each recipe by the command, one after the other, and its scores beside those that know nothing.

    A run of the same recipe that is in the folder of runs already is not trained again.
    """
    rows: dict[str, Any] = {}
    folders: dict[str, Path] = {}
    data = clips.load(asked.data)
    settings = [word for setting in asked.set for word in ("--set", setting)]
    for name in asked.recipes:
        run = run_of(asked_for(name, data.spec, asked), asked)
        if not (run / "score.json").exists():
            begin = [name, asked.data, "--minutes", str(asked.minutes), *settings, "--out", str(run)]
            words = ["--resume", str(run)] if (run / "run.json").is_file() else begin
            subprocess.run([sys.executable, "-m", "mezzotint", "train", *words], check=True)
        measuring = judged(run, min(asked.count, len(data.splits["test"])))
        card = json.loads((run / "score.json").read_text())
        facts = json.loads((run / "snapshot" / "card.json").read_text())
        rows[name] = {
            "scores": {name: score for name, score in card["scores"].items() if "[" not in name},
            "mse_frame by step": [s["value"] for n, s in card["scores"].items() if n.startswith("mse_frame[")],
            "clips seen": facts["images_seen"],
            "seconds": facts["seconds"],
            "protocol": card["protocol"],
        }
        if measuring is not None:
            rows[name]["seconds of measuring again"] = round(measuring, 1)
        folders[name] = run
    told = {"minutes": asked.minutes, "set": asked.set, "published": PUBLISHED}
    return {"machine": machine.facts(), **told, "rows": rows, "mse_frame, clip by clip": paired(folders)}


def paired(folders: dict[str, Path]) -> list[dict[str, Any]]:
    """How much more each of the others errs than the first one, on the same clips."""
    if len(folders) < 2:
        return []
    entrants = compare.read(list(folders.values()))
    named = tuple(replace(entrant, name=name) for entrant, name in zip(entrants, folders, strict=True))
    return [
        {"of": second, "less that of": first, **vars(difference.score), "p": difference.p}
        for first, second, score, difference in compare.compare(named).tests
        if score == "mse_frame"
    ]


def main() -> None:
    """Measure what is asked for and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["speed", "quality"])
    parser.add_argument("--data", default="moving-fashion")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--recipes", nargs="+", default=["convlstm", "predrnn", "simvp", "convgru"])
    parser.add_argument("--runs", type=Path, default=Path("runs/forecasting"), help="where the runs are kept")
    parser.add_argument("--set", action="append", default=[], help="change the recipes: key=value; repeatable")
    parser.add_argument("--count", type=int, default=COUNT, help="clips of the test set to judge on, at most")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--each", type=int, default=3)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    result = speed(asked) if asked.what == "speed" else quality(asked)
    text = json.dumps(result, indent=1)
    print(text)
    if asked.out:
        asked.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
