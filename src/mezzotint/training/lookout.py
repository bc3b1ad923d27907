"""What a milestone shows: a sheet of samples, the validation score, the numbers of the watch."""

import time

from mezzotint import drawing, forecasting, glance
from mezzotint.data import pictures
from mezzotint.data.dataset import Dataset
from mezzotint.method import Method
from mezzotint.training import watch
from mezzotint.training.journal import Journal
from mezzotint.training.run import Run
from mezzotint.training.state import State
from mezzotint.types import Denoises, Forecasts


class Lookout:
    """Looks at the state of a run, each time with the same pictures, and puts what it sees into the journal."""

    def __init__(self, dataset: Dataset, run: Run, journal: Journal) -> None:
        self.dataset, self.run, self.journal = dataset, run, journal
        self.eyes = watch.Eyes(dataset)
        self._seen: glance.Seen | None = None
        """At the last look: its real pictures are looked at once."""

    def look(self, state: State) -> tuple[glance.Glance, watch.Reading]:
        """The validation score of the averaged weights, and what the watch reads since it last did."""
        began = time.monotonic()
        score = glance.validation_score(state.average.method, self.dataset, self._seen)
        self._seen, scored = score.seen or self._seen, time.monotonic()
        reading = self.eyes.read(state.images, state.method, score, state.tally)
        state.tally = watch.Tally()
        seconds = {"seconds": round(scored - began, 4), "watch_seconds": round(time.monotonic() - scored, 4)}
        self.journal.write(
            "milestone", state.images, scores={score.name: score.value}, watch=reading.numbers(), **seconds
        )
        return score, reading

    def look_and_draw(self, state: State) -> tuple[glance.Glance, watch.Reading]:
        """The same with a sheet of samples and curves; the state keeps what it took for each picture."""
        began, method = time.monotonic(), state.average.method
        sheet = self._samples(method)
        each = (time.monotonic() - began) / (drawing.ROWS * drawing.grid_columns(method))
        if sheet is not None:
            pictures.save_png(self.run.samples / f"{state.images:012d}.png", sheet)
            self.journal.picture(state.images, "samples", sheet)
        score, reading = self.look(state)
        self.journal.scalars(state.images, {f"validation/{score.name}": score.value})
        self.journal.scalars(state.images, {f"watch/{k}": v for k, v in reading.numbers().items()})
        seconds = (time.monotonic() - began) / score.pictures
        # The score of a method that denoises is taken without drawing, so the sheet tells what drawing will take.
        state.glances.append(max(seconds, each) if isinstance(method, Denoises) else seconds)
        return score, reading

    def _samples(self, method: Method) -> pictures.Pixels | None:
        """A grid of drawn pictures or film strips of forecasts; None for what makes neither."""
        if not isinstance(method, Forecasts):
            return drawing.sample_grid(method)
        split = "validation" if len(self.dataset.splits["validation"]) else "train"
        return forecasting.film_strips(method, self.dataset, split)
