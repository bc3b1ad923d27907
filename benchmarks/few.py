"""Whether adaptive augmentation helps a generator of few pictures: two arenas that differ in nothing else.

python benchmarks/few.py FOLDER --out benchmarks/results/few-emoji.json

FOLDER has train, val and test, as `lossy.py --make` writes them; of `train` so many pictures are kept, chosen by the
hash of their names. The watch's remedies are off in both, since one of them is this very augmentation. Distances are
to the test pictures; where these are fewer than the features (`--features`, else random filters), they compare with
nothing but one another.
"""

import argparse
import hashlib
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from PIL import Image

from mezzotint import arena, machine

WAYS = {"off": "method.looking.target=0", "on": "method.looking.target=0.6"}
"""None, and the setting that `gan` takes below 2,000 pictures (recipes/choose_generator.py)."""


def cut(source: Path, out: Path, count: int, side: int) -> None:
    """The pictures at side × side, of training ones so many (0: all)."""
    new = out.with_name("cutting")
    for split in ("train", "val", "test"):
        files = sorted((source / split).glob("*.png"), key=lambda p: hashlib.sha256(p.name.encode()).hexdigest())
        files = files[:count] if split == "train" and count else files
        (new / split).mkdir(parents=True, exist_ok=True)
        for path in files:
            with Image.open(path) as image:
                image.convert("RGB").resize((side, side), Image.Resampling.LANCZOS).save(new / split / path.name)
    new.rename(out)


def held(data: Path, way: str, asked: argparse.Namespace) -> list[dict[str, Any]]:
    """The trainings of an arena, the last try of each."""
    out = data.parent / f"{asked.recipe}-{asked.minutes:g}-{way}"
    command = [sys.executable, "-m", "mezzotint", "arena", str(data), "--recipes", asked.recipe, "--out", str(out)]
    command += ["--minutes", f"{asked.minutes:g}", "--seeds", str(asked.seeds)]
    command += ["--set", "rollbacks=0", "--set", WAYS[way]]
    subprocess.run([*command, *(["--features", asked.features] if asked.features else [])], check=True)
    return arena.read(out)


def main() -> None:
    """Cut, train, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", type=int, default=500, help="training pictures; 0 takes all")
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--recipe", default="dcgan")
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--features", help="a recogniser's run, as `mezzotint measure --features` takes it")
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmarks/few"))
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    data = asked.runs / f"{asked.folder.name}-{asked.train or 'all'}-{asked.side}" / "pictures"
    if not data.is_dir():
        cut(asked.folder, data, asked.train, asked.side)
    rows = {way: held(data, way, asked) for way in WAYS}
    drawn = {way: [row for row in found if "frechet" in row.get("scores", ())] for way, found in rows.items()}
    if not all(drawn.values()):
        sys.exit(
            f"no training finished: {[row['failed'] for found in rows.values() for row in found if 'failed' in row]}"
        )
    medians = {way: statistics.median(row["scores"]["frechet"] for row in found) for way, found in drawn.items()}
    result = {
        "machine": machine.facts(),
        "data": asked.folder.name,
        "side": asked.side,
        "train_pictures": len(list((data / "train").glob("*.png"))),
        "recipe": asked.recipe,
        "minutes": asked.minutes,
        "protocol": drawn["on"][0]["protocol"],
        "ways": {
            way: {
                "setting": WAYS[way],
                "frechet": [row["scores"]["frechet"] for row in found],
                "floor": found[0]["scores"]["frechet_floor"],
                "failed": [row["failed"] for row in rows[way] if "failed" in row],
                "last_over_best": [row.get("last_over_best") for row in found],
            }
            for way, found in drawn.items()
        },
        "with_over_without": medians["on"] / medians["off"],
    }
    asked.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({**medians, "ratio": result["with_over_without"]}))


if __name__ == "__main__":
    main()
