"""Emoji in folders by category, for a recogniser: from the package emoji-datasource-google 16.0.0, split by subject.

    python benchmarks/emoji.py emoji-datasource-google-16.0.0.tgz emoji-categories
    mezzotint train recognize emoji-categories --minutes 20 --out runs/emoji

Nine categories (all but "Component"), 64 pixels a side. A subject in all its skins, and in the genders written as such,
is in one split, by the hash of its code points: of each category a fifth of the subjects is for the test, a tenth for
validation. Of equal pictures (flags of islands) the first is taken.
"""

import argparse
import hashlib
import io
import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

TONES = {f"1f3f{i:x}" for i in range(0xB, 0x10)}
UNSEEN = TONES | {"2640", "2642", "fe0f", "200d"}
"""Code points that make no other subject: skins, gender signs, variation, joiner."""
ALIKE = {"1f468": "1f9d1", "1f469": "1f9d1", "1f466": "1f9d2", "1f467": "1f9d2", "1f474": "1f9d3", "1f475": "1f9d3"}
"""Men and women are adults, boys and girls children, old men and women old people."""


def subject(unified: str) -> str:
    """What is shown, whatever its skin and gender: 1f44b-1f3fb and 1f44b are one, and so are 1f468-… and 1f469-…."""
    points = unified.lower().split("-")
    return "-".join(ALIKE.get(point, point) for point in points if point not in UNSEEN) or unified.lower()


def contents(source: Path) -> dict[str, bytes]:
    """`emoji.json` and the pictures of 64 pixels, by their names alone; of a folder or of the package's archive."""
    wanted = re.compile(r"(^|/)(emoji\.json|img/[^/]+/64/[^/]+\.png)$")
    if source.is_dir():
        return {p.name: p.read_bytes() for p in source.rglob("*") if wanted.search(p.as_posix())}
    with tarfile.open(source) as archive:
        members = [m for m in archive if m.isfile() and wanted.search(m.name)]
        files = ((m.name, archive.extractfile(m)) for m in members)
        return {Path(name).name: file.read() for name, file in files if file is not None}


def listed(entries: list[dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """Category, subject and picture of each emoji and of its skins."""
    for entry in sorted((e for e in entries if e["category"] != "Component"), key=lambda e: e["unified"]):
        what = subject(entry["unified"])  # couples of two skins are written with other code points
        for one in (entry, *entry.get("skin_variations", {}).values()):
            yield entry["category"], what, one["image"]


def main() -> None:
    """Write the folders."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="the package's archive, or a folder with emoji.json and img/…/64/")
    parser.add_argument("out", type=Path)
    asked = parser.parse_args()
    files = contents(asked.source)
    rows = [row for row in listed(json.loads(files["emoji.json"])) if row[2] in files]
    home = {what: category for category, what, _ in reversed(rows)}
    place: dict[str, str] = {}
    for category in sorted(set(home.values())):
        own = [what for what in home if home[what] == category]
        own.sort(key=lambda what: hashlib.sha256(what.encode()).hexdigest())
        for i, what in enumerate(own):
            place[what] = "test" if i < len(own) // 5 else "val" if i < len(own) * 3 // 10 else "train"
    seen: set[bytes] = set()
    for category, what, picture in rows:
        with Image.open(io.BytesIO(files[picture])) as image:
            pixels = image.convert("RGBA").tobytes()
        if pixels in seen:
            continue
        seen.add(pixels)
        folder = asked.out / place[what] / category.lower().replace(" & ", "-")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / picture).write_bytes(files[picture])
    print(f"{len(seen)} pictures of {len(place)} subjects in {asked.out}")


if __name__ == "__main__":
    main()
