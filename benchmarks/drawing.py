"""Pictures drawn a second by our U-Net and by the public ones, with as many looks at the network, by turns.

python benchmarks/drawing.py --out benchmarks/results/drawing.json

Each round of each is a fresh process on all cores; the first batch is not counted. The networks are those of
throughput.py, about 1.3 million parameters each, with the weights that they begin with: what is drawn costs the same
when it is good. Ours is drawn as `mezzotint generate` does, one look a step, without guidance; the peers' by DDIM.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from mezzotint import drawing
from mezzotint.methods.flow import FlowConfig
from mezzotint.methods.following import Drawing
from mezzotint.networks.unet import UnetConfig
from mezzotint.types import DataSpec
from throughput import HERE, OURS, environment, facts, summary

PEERS = "diffusers_unet", "lucidrains_unet"
PEERS_IMAGES = 256
FIRST = 100
"""Pictures of ours that are not counted."""
SPEC = DataSpec(1, 28, 28, tuple("0123456789"), 60_000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--looks", type=int, default=10)
    parser.add_argument("--images", type=int, default=1_000, help="of ours; the peers draw 256")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", type=Path, default=HERE.parent / ".venv-peers", help="the peers' environment")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--ours", action="store_true", help="one round of ours alone")
    asked = parser.parse_args()
    if asked.ours:
        print(json.dumps(ours(asked.looks, asked.images)))
        return
    again = [sys.executable, __file__, "--ours", "--looks", str(asked.looks), "--images", str(asked.images)]
    python, counts = str(environment(asked.peers)), ["--warmup", "128", "--images", str(PEERS_IMAGES)]
    commands = {OURS: again}
    for name in PEERS:
        commands[name] = [python, str(HERE / "peers" / f"{name}.py"), "--draw", str(asked.looks), *counts]
    rounds = [one_round(commands, number) for number in range(asked.rounds)]
    result = {"looks": asked.looks, "rows": rows(rounds), "machine": facts(rounds), "rounds": rounds}
    print(json.dumps(result["rows"], indent=1))
    if asked.out:
        asked.out.write_text(json.dumps(result, indent=1) + "\n")


def ours(looks: int, images: int) -> dict[str, Any]:
    config = FlowConfig(network=UnetConfig(width=64), drawing=Drawing(solver="dpm-solver", steps=looks))
    method = config.build(SPEC).to(memory_format=torch.channels_last).eval().requires_grad_(False)
    drawing.draw(method, range(FIRST))
    began = time.perf_counter()
    drawing.draw(method, range(images))
    seconds = time.perf_counter() - began
    parameters = sum(p.numel() for p in method.parameters())
    line = {"who": OURS, "images_per_second": round(images / seconds, 1), "images": images, "seconds": seconds}
    return {**line, "looks": looks, "parameters": parameters}


def one_round(commands: dict[str, list[str]], number: int) -> dict[str, Any]:
    """Each once; the order turns by one place each round."""
    names = list(commands)
    turn, taken = number % len(names), {}
    for name in names[turn:] + names[:turn]:
        done = subprocess.run(commands[name], check=True, capture_output=True, text=True)
        taken[name] = json.loads(done.stdout.strip().splitlines()[-1])
        print(number, json.dumps(taken[name]), flush=True)
    return taken


def rows(rounds: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A line for each; a ratio is ours by theirs in the same round."""
    found = []
    for name in (OURS, *PEERS):
        rates = [taken[name]["images_per_second"] for taken in rounds]
        ratios = [taken[OURS]["images_per_second"] / rate for taken, rate in zip(rounds, rates, strict=True)]
        line = {"who": rounds[0][name]["who"], "parameters": rounds[0][name]["parameters"], **summary(rates)}
        line |= {"ratio": statistics.median(ratios), "ratio_min": min(ratios), "ratio_max": max(ratios)}
        found.append(line)
    return found


if __name__ == "__main__":
    main()
