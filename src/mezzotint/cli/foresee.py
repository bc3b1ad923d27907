"""`forecast`: from a film to its future."""

import sys
from pathlib import Path

from mezzotint.errors import UserError


def forecast(
    run: Path,
    clip: Path | None = None,
    /,
    *,
    frames: int = 20,
    start: int | None = None,
    futures: int = 1,
    seed: int = 0,
    out: Path = Path("future.gif"),
) -> None:
    """Say how CLIP goes on, with the model of RUN; without a clip dream one from noise (convlstm-vae).

    What the model looks at stands before its forecast. With --start in the midst of the clip the truth is known: then
    recorded, forecast and error stand side by side.

    Parameters
    ----------
    run:
        A run's folder or a model's.
    clip:
        A .gif, .webp, .mp4, .webm, .mov, a folder of numbered frames or an .npz of one film.
    frames:
        How many to forecast: any number.
    start:
        Number of the first frame to forecast, counted from 0 (default: behind the clip's last frame).
    futures:
        How many to draw, side by side, with a model that knows several.
    seed:
        Of the first future; the next ones follow it.
    out:
        A .gif (up to 50 frames a second), .webp, .mp4, .webm or .mov; the clip's frame rate is kept.
    """
    from mezzotint import api
    from mezzotint.continuing import continued, side_by_side
    from mezzotint.data.film import USUAL_RATE, check_out, save_film, written_rate
    from mezzotint.model import load

    if frames < 1 or futures < 1:
        raise UserError("--frames and --futures must be at least 1")
    check_out(out)
    api.refuse_odd_seed(seed)
    model = load(run)
    if futures > 1 and "forecast" in model.abilities and "dream" not in model.abilities:
        raise UserError("this model knows one future of a clip: leave out --futures, or train convlstm-vae")
    seeds = range(seed, seed + futures)
    if clip is None:
        dreamt = model.dream(seeds, frames)
        save_film(out, (side_by_side(list(dreamt[:, t])) for t in range(frames)), USUAL_RATE)
        print(f"{frames} frames out of noise in {out}")
        return
    if not clip.exists():
        raise UserError(f"there is no clip {clip}")
    found = continued(model, clip, frames, start, seeds)
    save_film(out, found.frames(), found.rate)
    rate = written_rate(out, found.rate)
    print(f"{model.context} frames recorded, then {frames} forecast, {rate:.4g} a second, in {out}")
    for remark in found.remarks:
        print(f"note: {clip}: {remark}", file=sys.stderr)
    if found.errors:
        mean = sum(found.errors) / len(found.errors)
        print(f"squared error a frame: {mean:.4g} on average over the {len(found.errors)} that are known")
