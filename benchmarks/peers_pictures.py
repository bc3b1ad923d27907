"""The diffusion peers' own trainers for some minutes each, their pictures judged as ours are.

python benchmarks/peers_pictures.py --minutes 10 --out benchmarks/results/diffusion-peers.json

They draw as many pictures as our runs are judged by, in the features of the same recogniser, which is that of run.py
unless `--features` names another. What is drawn lies under runs/benchmarks and is not drawn again.
"""

import argparse
import json
import subprocess
from pathlib import Path
from typing import Any

from mezzotint import api, machine
from run import RULER, RUNS
from throughput import HERE, environment

WHO = "diffusers", "lucidrains"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--who", nargs="+", default=list(WHO), choices=WHO)
    parser.add_argument("--features", type=Path, default=RULER)
    parser.add_argument("--peers", type=Path, default=HERE.parent / ".venv-peers", help="the peers' environment")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "diffusion-peers.json")
    asked = parser.parse_args()
    python, rows = environment(asked.peers), []
    for who in asked.who:
        folder = RUNS / f"peer-{who}-{asked.minutes:g}-{asked.count}"
        said = folder.with_name(f"{folder.name}.json")
        if not said.is_file():
            said.parent.mkdir(parents=True, exist_ok=True)
            said.write_text(drawn(python, who, asked, folder))
        card = api.judge_pictures(folder, "fashion-mnist", features=asked.features, count=asked.count)
        scores = {name: vars(score) for name, score in card.scores.items()}
        rows.append({**json.loads(said.read_text()), "protocol": card.protocol, "scores": scores})
        print(who, card.scores["frechet"], flush=True)
        result: dict[str, Any] = {"minutes": asked.minutes, "count": asked.count, "rows": rows}
        asked.out.write_text(json.dumps({**result, "machine": machine.facts()}, indent=1) + "\n")


def drawn(python: Path, who: str, asked: argparse.Namespace, folder: Path) -> str:
    """The line in which a peer tells of its training."""
    command = [str(python), str(HERE / "peers" / "diffusion_pictures.py"), "--who", who, "--out", str(folder)]
    command += ["--minutes", str(asked.minutes), "--count", str(asked.count)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip().splitlines()[-1]


if __name__ == "__main__":
    main()
