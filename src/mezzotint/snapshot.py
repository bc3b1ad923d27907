"""The model folder: weights, recipe, card and a page for people. Loading it runs nothing that lies in it."""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from mezzotint import codec
from mezzotint.digest import file_digest
from mezzotint.errors import UserError
from mezzotint.files import write_tensors
from mezzotint.method import Method
from mezzotint.recipe import Recipe, from_json
from mezzotint.types import Calibrates, DataSpec

FORMAT = 1


@dataclass(frozen=True)
class Snapshot:
    """A model as it lies on disk, and the method brought back to life."""

    folder: Path
    recipe: Recipe
    card: dict[str, Any]
    method: Method

    @property
    def digest(self) -> str:
        """SHA-256 of the weights file."""
        return str(self.card["weights"])


def save(folder: Path, method: Method, recipe: Recipe, facts: dict[str, Any], page: str) -> None:
    """Write the model folder; whole or not at all, and the one before it stays until then."""
    new = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        digest = write_tensors(new / "weights.safetensors", method.state_dict())
        card = {"format": FORMAT, "weights": digest, "spec": asdict(method.spec), **facts}
        (new / "card.json").write_text(json.dumps(card, indent=1), encoding="utf-8")
        (new / "recipe.json").write_text(recipe.to_json(), encoding="utf-8")
        (new / "README.md").write_text(page, encoding="utf-8", errors="backslashreplace")
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def load(folder: Path, kinds: codec.Kinds) -> Snapshot:
    """The model in `folder` (a snapshot, or a run that has one), in evaluation mode on the CPU.

    Raises UserError with one sentence for a folder that is foreign, truncated, damaged or of a newer format.
    """
    folder = _with_snapshot(Path(folder))
    card = _card(folder)
    recipe = from_json(_text(folder / "recipe.json"), kinds, str(folder / "recipe.json"))
    try:
        spec = DataSpec.from_fields(card["spec"])
        method = recipe.method.build(spec)
        method.load_state_dict(load_file(folder / "weights.safetensors"))
        if isinstance(method, Calibrates) and card.get("calibration"):
            method.temperature = float(card["calibration"]["temperature"])
        if file_digest(folder / "weights.safetensors") != card["weights"]:
            raise UserError(f"{folder}/weights.safetensors is not the one that its card names; copy the snapshot again")
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"{folder}/weights.safetensors is missing or damaged ({error}); copy the snapshot again"
        ) from None
    except (KeyError, TypeError, RuntimeError, ValueError):
        raise UserError(f"{folder}: its weights do not fit its recipe; the files are not of one snapshot") from None
    method = method.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    return Snapshot(folder, recipe, card, method.eval().requires_grad_(False))


def _with_snapshot(folder: Path) -> Path:
    if (folder / "snapshot" / "card.json").is_file():
        return folder / "snapshot"
    if (folder / "card.json").is_file():
        return folder
    if (folder / "run.json").is_file():
        raise UserError(f"the run {folder} has no model yet: finish it with `mezzotint train --resume {folder}`")
    raise UserError(f"{folder} is not a model of mezzotint (there is no card.json in it)")


def _card(folder: Path) -> dict[str, Any]:
    try:
        card = json.loads(_text(folder / "card.json"))
        number = card["format"]
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{folder}/card.json is not a model card of mezzotint (truncated or foreign)") from None
    if not isinstance(number, int) or number > FORMAT:
        raise UserError(f"{folder} has format {number!r}, newer than this version reads ({FORMAT}); update mezzotint")
    return card


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error})") from None
