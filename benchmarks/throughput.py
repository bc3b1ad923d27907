"""Training speed of the whole loop with its data, beside the peers', interleaved: one round of each by turns.

python benchmarks/throughput.py --out benchmarks/results/throughput.json

Each round of each is a fresh process on all cores; the first part of it is warm-up and not counted. Ours is the command
that a user types (sample grids off), its speed read from the run's journal. The peers live in an environment of their
own, made on the first run (`--peers` names another). Each round also takes the practical peak: a large bf16
convolution. Works without peers are trained with their recipe's own batch, and only where `--works` names them.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mezzotint import machine

HERE = Path(__file__).parent
OURS = "mezzotint"
PROTOCOL = (
    "Whole training loop with its data, Fashion-MNIST, batches of 128 (without peers the recipe's own), "
    "rounds interleaved (a fresh process each, all cores), warm-up left out; medians over rounds. A ratio is the "
    "median over rounds of ours by theirs in the same round. Share of peak: operations that our steps execute a "
    "second, by those of a 128-filter 3×3 bf16 convolution; a phase counts as often as it is due."
)
WARM_UP = 0.25
"""Share of a round of ours that is not counted."""
LOOKS = 12
"""Places in the rest of it at which the operations are counted: a network may grow."""


@dataclass(frozen=True)
class Work:
    """One network to train: how our command is called, and which scripts are its peers."""

    recipe: str
    images: int
    """Pictures of one round of ours, the first quarter of it warm-up."""
    peers: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()

    @property
    def changes(self) -> tuple[str, ...]:
        """All that is set: beside peers their batch as well."""
        return (*self.settings, *(("batch=128",) if self.peers else ()))


PYTHAE = (
    "method.encoder.kind=pythae-encoder",
    "method.decoder.kind=pythae-decoder",
    "method.likelihood=bernoulli",
    "method.latent=16",
)
WORKS = {
    "cnn-classic": Work("cnn-classic", 128_000, ("keras_cnn", "tutorial_cnn")),
    "dcgan-tutorial": Work("dcgan-tutorial", 10_240, ("keras_dcgan", "tutorial_dcgan")),
    "flow": Work("flow", 25_600, ("diffusers_unet", "lucidrains_unet"), ("method.network.width=64",)),
    "pythae-vae": Work("vae", 3_840, ("pythae_vae",), PYTHAE),
    "gan-mlp": Work("gan-mlp", 64_000),
}
LINE = ("dcgan", "lsgan", "wgan", "wgan-gp", "sngan", "biggan", "progan", "lapgan", "cogan", "r3gan")
WORKS |= {name: Work(name, 19_200) for name in LINE}


def main() -> None:
    """Take the rounds, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    beside = [name for name, work in WORKS.items() if work.peers]
    parser.add_argument("--works", nargs="+", default=beside, choices=list(WORKS))
    parser.add_argument("--peers", type=Path, default=HERE.parent / ".venv-peers", help="the peers' environment")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    python = environment(asked.peers) if set(asked.works) & set(beside) else Path(sys.executable)
    rounds = [one_round(asked.works, python, number) for number in range(asked.rounds)]
    result = {"protocol": PROTOCOL, "rows": rows(rounds, asked.works), "peak_gflops": summary(column(rounds, "peak"))}
    result |= {"machine": facts(rounds), "rounds": rounds}
    asked.out.write_text(json.dumps(result, indent=1) + "\n")
    for row in result["rows"]:
        print(json.dumps(row))


def environment(folder: Path) -> Path:
    """The Python of the peers' environment, made or completed where it is not whole."""
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        for packages in (["torch==2.13.0"], ["-r", str(HERE / "peers" / "requirements.txt")]):
            subprocess.run([str(python), "-m", "pip", "install", "-q", *packages], check=True)
        (folder / "complete").touch()
    return python


def one_round(works: list[str], python: Path, number: int) -> dict[str, Any]:
    """Each contender of each work once, and the peak; the order turns by one place each round."""
    turns: list[tuple[str, Callable[[], dict[str, Any]]]] = [("peak", peak)]
    for name in works:
        scripts = WORKS[name].peers
        contenders = [lambda name=name: ours(name), *[lambda s=s: peer(python, s) for s in scripts]]
        turns += [(f"{name}/{i}", take) for i, take in enumerate(contenders)]
    turn = number % len(turns)
    taken = {}
    for key, take in turns[turn:] + turns[:turn]:
        taken[key] = take()
        print(number, key, json.dumps(taken[key]), flush=True)
    return taken


def ours(name: str) -> dict[str, Any]:
    """Our rate from the journal of a run of the command, after a quarter of it."""
    work = WORKS[name]
    with tempfile.TemporaryDirectory() as scratch:
        run = Path(scratch) / "run"
        command = [sys.executable, "-m", "mezzotint", "train", work.recipe, "fashion-mnist"]
        command += ["--images", str(work.images), "--out", str(run)]
        for setting in ("milestones=0", *work.changes):
            command += ["--set", setting]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        events = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
        execution = json.loads((run / "recipe.json").read_text())["execution"]
    lines = [e for e in events if e["event"] == "train"]
    first = next(e for e in lines if e["images"] >= WARM_UP * work.images)
    images, seconds = lines[-1]["images"] - first["images"], lines[-1]["seconds"] - first["seconds"]
    rate = round(images / seconds, 1)
    taken = {"who": OURS, "images_per_second": rate, "images": images, "seconds": seconds, "execution": execution}
    return taken | {"thread_changes": [e["threads"] for e in events if e["event"] == "threads"]}


def peer(python: Path, script: str) -> dict[str, Any]:
    """A peer's own line."""
    command = [str(python), str(HERE / "peers" / f"{script}.py")]
    silent = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=silent)
    return json.loads(done.stdout.strip().splitlines()[-1])


def peak() -> dict[str, Any]:
    """GFLOP/s of a large bf16 convolution with channels last, the median of a second and a half, on all cores."""
    import torch
    from torch.nn import functional as F

    torch.set_num_threads(machine.facts()["cores"])
    layout = torch.channels_last
    images = torch.randn(128, 128, 28, 28).bfloat16().contiguous(memory_format=layout)
    weights = torch.randn(128, 128, 3, 3).bfloat16().contiguous(memory_format=layout)
    operations = 2 * 128 * 28 * 28 * 128 * 128 * 9
    rates, began = [], time.perf_counter()
    while time.perf_counter() - began < 1.5:
        tick = time.perf_counter()
        F.conv2d(images, weights, padding=1)
        rates.append(operations / (time.perf_counter() - tick) / 1e9)
    return {"gflops": round(statistics.median(rates), 1)}


def gflops_per_picture(name: str) -> float:
    """What our steps execute for each picture of the batch, forward and backward, by torch's formulas.

    The mean over the part of the run that is timed. As in training only the groups learn whose turn it is, and a phase
    that is due every so many steps counts for so much less.
    """
    import torch

    from mezzotint import catalog
    from mezzotint.data.dataset import load
    from mezzotint.data.loader import Batches
    from mezzotint.recipe import with_setting
    from mezzotint.types import Batch

    dataset = load("fashion-mnist")
    recipe = catalog.recipe(WORKS[name].recipe, dataset.spec)
    for setting in WORKS[name].changes:
        recipe = with_setting(recipe, setting, catalog.kinds())
    method = recipe.method.build(dataset.spec).to(memory_format=torch.channels_last)
    images, labels = Batches(dataset, "train", recipe.batch, 0).at(0)
    total = 0.0
    for look in range(LOOKS):
        progress = WARM_UP + (1 - WARM_UP) * (look + 0.5) / LOOKS
        batch = Batch(images, labels, progress)
        due = (phase for phase in method.phases if phase.lasts(progress))
        total += sum(operations(method, phase, batch) / phase.every for phase in due)
    return total / LOOKS / len(images) / 1e9


def operations(method: Any, phase: Any, batch: Any) -> int:
    """Of one turn of a phase; torch's own counter, which follows modules, fails where a penalty asks for slopes."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import flop_registry

    class Counter(TorchDispatchMode):
        total = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            found = func(*args, **(kwargs or {}))
            if (formula := flop_registry.get(func._overloadpacket)) is not None:
                self.total += formula(*args, **(kwargs or {}), out_val=found)
            return found

    for name, group in method.groups().items():
        for p in group:
            p.requires_grad_(name in phase.trains)
    with Counter() as counter, torch.autocast("cpu", torch.bfloat16):
        method.loss(batch, phase.name).total.backward()
    method.zero_grad(set_to_none=True)
    return counter.total


def rows(rounds: list[dict[str, Any]], works: list[str]) -> list[dict[str, Any]]:
    """A line for each contender."""
    lines = []
    for name in works:
        mine = column(rounds, f"{name}/0")
        share = gflops_per_picture(name) * statistics.median(
            a / b for a, b in zip(mine, column(rounds, "peak"), strict=True)
        )
        lines.append({"work": name, "who": OURS, **summary(mine), "share_of_peak": share})
        for i, _ in enumerate(WORKS[name].peers, 1):
            theirs = column(rounds, f"{name}/{i}")
            ratios = summary([a / b for a, b in zip(mine, theirs, strict=True)])
            line = {"work": name, "who": rounds[0][f"{name}/{i}"]["who"], **summary(theirs)}
            line |= {"ratio": ratios["median"], "ratio_min": ratios["min"], "ratio_max": ratios["max"]}
            lines.append(line)
    return lines


def column(rounds: list[dict[str, Any]], key: str) -> list[float]:
    """The figure of one contender, round by round."""
    return [taken[key].get("images_per_second", taken[key].get("gflops")) for taken in rounds]


def summary(values: list[float]) -> dict[str, Any]:
    """Number, median and spread."""
    return {"n": len(values), "median": statistics.median(values), "min": min(values), "max": max(values)}


def facts(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Hardware, our versions and those of the peers."""
    found = machine.facts()
    for taken in rounds[0].values():
        others = {k: v for k, v in taken.get("versions", {}).items() if k not in ("python", "torch")}
        found["versions"] |= others
    return found


if __name__ == "__main__":
    main()
