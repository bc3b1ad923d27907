"""A run's folder: what lies where, how one is begun and how one is found again."""

import json
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from mezzotint import codec
from mezzotint.digest import file_digest
from mezzotint.errors import UserError
from mezzotint.files import write_tensors
from mezzotint.recipe import Recipe, from_json
from mezzotint.types import DataSpec

FORMAT = 1
Tensors = Mapping[str, torch.Tensor]


class Run:
    """The folder of one run; everything in it is written by the run itself."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.recipe_file = folder / "recipe.json"
        self.facts_file = folder / "run.json"
        self.plan_file = folder / "plan.jsonl"
        self.journal_file = folder / "journal.jsonl"
        self.samples = folder / "samples"
        self.checkpoints = folder / "checkpoint"
        self.healthy = folder / "healthy"
        """Checkpoints of the last two milestones at which all was well."""
        self.best = folder / "best"
        """Averaged weights of the milestones with the best scores."""
        self.snapshot = folder / "snapshot"
        self.start = folder / "start.safetensors"

    def __fspath__(self) -> str:
        return str(self.folder)

    def recipe(self, kinds: codec.Kinds) -> Recipe:
        """What decided this run."""
        return from_json(self.recipe_file.read_text(), kinds, str(self.recipe_file))

    def facts(self) -> dict[str, Any]:
        """Data digest, picture shape, versions: what the recipe does not say."""
        try:
            facts = json.loads(self.facts_file.read_text())
            number = facts["format"]
        except (OSError, ValueError, KeyError, TypeError):
            raise UserError(f"{self.facts_file} is missing or damaged; this run cannot be resumed") from None
        if not isinstance(number, int) or number > FORMAT:
            raise UserError(f"{self.folder} has format {number!r}, newer than this version reads ({FORMAT})")
        return facts

    def spec(self) -> DataSpec:
        """Shape and classes of the data that the run was begun with."""
        return DataSpec.from_fields(self.facts()["spec"])


def begin(
    folder: Path | None,
    recipe: Recipe,
    spec: DataSpec,
    digest: str,
    why: Sequence[str] = (),
    start: Tensors | None = None,
) -> Run:
    """A new run in `folder` (default: the next free readable name under runs/); never over an existing one.

    `why` are sentences that say why this recipe, `start` weights to begin with.
    """
    folder = folder or _next_free(recipe)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(
            f"{folder} exists already; name another folder with --out, or `mezzotint train --resume {folder}`"
        )
    folder.mkdir(parents=True, exist_ok=True)
    run = Run(folder)
    run.samples.mkdir()
    versions = {"mezzotint": _version(), "torch": torch.__version__, "python": platform.python_version()}
    facts = {"format": FORMAT, "spec": asdict(spec), "digest": digest, "versions": versions, "why": list(why)}
    if start:
        recipe = replace(recipe, start=write_tensors(run.start, start))
    run.facts_file.write_text(json.dumps(facts, indent=1))
    run.recipe_file.write_text(recipe.to_json())
    return run


def find(folder: Path) -> Run:
    """The run in `folder`; raises UserError where there is none."""
    run = Run(folder)
    if not run.recipe_file.is_file() or not run.facts_file.is_file():
        raise UserError(f"{folder} is not a run of mezzotint (it has no recipe.json and run.json)")
    return run


def start_of(run: Run, digest: str) -> dict[str, torch.Tensor]:
    """The weights that a run begins with; raises UserError where they are gone or damaged."""
    try:
        if file_digest(run.start) == digest:
            return load_file(run.start)
    except (OSError, SafetensorError):
        pass
    raise UserError(f"{run.start} is missing or damaged: begin the run again with --from")


@contextmanager
def locked(run: Run) -> Iterator[None]:
    """Hold the run, so that two processes never train it at once; the lock goes with the process."""
    with (run.folder / "lock").open("w") as file:
        try:
            import fcntl
        except ImportError:  # Windows has no flock; two trainings of one run are then the user's care
            yield
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(f"{run.folder} is being trained by another process; wait for it or stop it") from None
        yield


def _next_free(recipe: Recipe) -> Path:
    data = re.sub(r"[^\w.-]+", "-", Path(recipe.data.source).stem).strip("-").lower() or "data"
    stem = f"{recipe.name}-{data}"
    number = 1
    while (Path("runs") / f"{stem}-{number}").exists():
        number += 1
    return Path("runs") / f"{stem}-{number}"


def _version() -> str:
    from importlib.metadata import version

    return version("mezzotint")
