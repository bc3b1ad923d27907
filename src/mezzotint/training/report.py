"""Where a training stands: what the loop tells of it now and then."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Report:
    """What the loop yields."""

    images: int
    total: int
    seconds: float
    """Since the program began, earlier sittings of a resumed run included."""
    seconds_left: float
    losses: dict[str, float]
    message: str = ""
    """A sentence for the user, where there is something to say."""


class Window:
    """What happened since the last log line: mean losses and pictures a second."""

    def __init__(self, now: float, images: int, rate: float = 0.0) -> None:
        self.began, self.first, self.rate = now, images, rate
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, losses: dict[str, Tensor]) -> None:
        """Take in a step's losses."""
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, 0) + value
            self._counts[name] = self._counts.get(name, 0) + 1

    def end(self, now: float, images: int) -> None:
        """Smooth the rate over about three windows, so that an estimated end does not jump."""
        rate = (images - self.first) / max(now - self.began, 1e-9)
        self.rate = rate if self.rate == 0 else 0.65 * self.rate + 0.35 * rate

    def means(self) -> dict[str, float]:
        """The losses by name."""
        return {name: float(total) / self._counts[name] for name, total in self._sums.items()}
