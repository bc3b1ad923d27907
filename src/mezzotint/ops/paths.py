"""Paths from pictures to noise: x(t) = alpha(t)·picture + sigma(t)·noise, t = 0 at the picture.

Every path visits the same mixtures, only at other times and scales: what tells them apart is the ratio sigma/alpha of
noise to picture. All conversions are linear in what they convert, and exact in the precision of their arguments.
"""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

PathName = Literal["straight", "circle", "exploding"]
Prediction = Literal["velocity", "noise", "picture", "preconditioned"]


class Mixture(NamedTuple):
    """Alpha, sigma and their derivatives by time, at some times."""

    alpha: Tensor
    sigma: Tensor
    alpha_slope: Tensor
    sigma_slope: Tensor

    @property
    def ratio(self) -> Tensor:
        """Noise to picture."""
        return self.sigma / self.alpha


@dataclass(frozen=True)
class Path:
    """How much of the picture and of the noise there is at each time.

    - straight: alpha = 1 - t, sigma = t (Liu et al. 2023, rectified flow; Lipman et al. 2023).
    - circle: alpha = cos(pi t/2), sigma = sin(pi t/2): the variance-preserving path (Ho et al. 2020; Song et al. 2021)
      by its angle, at which nothing is singular.
    - exploding: alpha = 1, sigma = t (Karras et al. 2022).
    """

    name: PathName

    def at(self, t: Tensor) -> Mixture:
        """The mixture at times `t` of any shape; in [0, 1], of the exploding path from 0 on."""
        one, zero = torch.ones_like(t), torch.zeros_like(t)
        match self.name:
            case "straight":
                return Mixture(1 - t, t, -one, one)
            case "circle":
                turn = math.pi / 2
                cos, sin = (turn * (1 - t)).sin(), (turn * t).sin()  # cos is exactly zero at 1 so
                return Mixture(cos, sin, -turn * sin, turn * cos)
            case "exploding":
                return Mixture(one, t, zero, one)

    def time_of(self, ratio: Tensor) -> Tensor:
        """The time at which noise is to picture as `ratio`, from 0 to infinity."""
        match self.name:
            case "straight":
                return torch.where(ratio.isinf(), torch.ones_like(ratio), ratio / (1 + ratio))
            case "circle":
                return ratio.atan() * (2 / math.pi)
            case "exploding":
                return ratio

    def mixed(self, picture: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """Where the path from `picture` to `noise` is at `t`."""
        m = self.at(t)
        return m.alpha * picture + m.sigma * noise

    def velocity(self, picture: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """How the path moves at `t`: its derivative by time."""
        m = self.at(t)
        return m.alpha_slope * picture + m.sigma_slope * noise

    def apart(self, x: Tensor, velocity: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Picture and noise at whose mixture `x` moves with `velocity`: the inverse of `mixed` and `velocity`."""
        m = self.at(t)
        determinant = m.alpha * m.sigma_slope - m.alpha_slope * m.sigma
        picture = (m.sigma_slope * x - m.sigma * velocity) / determinant
        return picture, (m.alpha * velocity - m.alpha_slope * x) / determinant


LEAST = 0.02
"""Sigma below which a noise is not told from a predicted picture: it is a difference of near numbers."""


def completed(
    path: Path, predicts: Prediction, said: Tensor, x: Tensor, t: Tensor, spread: float
) -> tuple[Tensor, Tensor]:
    """Picture and noise from what a network said of `x` at `t`, which shapes broadcast to.

    Preconditioned is Karras et al. 2022, equation 7 and table 1, for x/alpha at noise sigma/alpha, with `spread` the
    standard deviation of the pictures. A predicted noise needs alpha > 0.
    """
    m = path.at(t)
    match predicts:
        case "velocity":
            return path.apart(x, said, t)
        case "noise":
            return (x - m.sigma * said) / m.alpha, said
        case "picture":
            return said, (x - m.alpha * said) / m.sigma.clamp(min=LEAST)
        case "preconditioned":
            size = (m.sigma.square() + (m.alpha * spread).square()).sqrt()
            picture = m.alpha * (spread / size).square() * x + m.sigma * spread / size * said
            return picture, m.sigma / size.square() * x - m.alpha * spread / size * said


def target(path: Path, predicts: Prediction, picture: Tensor, noise: Tensor, t: Tensor, spread: float) -> Tensor:
    """What a perfect network would say: the inverse of `completed`."""
    m = path.at(t)
    match predicts:
        case "velocity":
            return path.velocity(picture, noise, t)
        case "noise":
            return noise
        case "picture":
            return picture
        case "preconditioned":
            size = (m.sigma.square() + (m.alpha * spread).square()).sqrt()
            return (m.sigma / spread * picture - m.alpha * spread * noise) / size


def picture_error(path: Path, predicts: Prediction, t: Tensor, spread: float) -> Tensor:
    """By how much an error of what the network says is an error of the picture, at times `t`."""
    m = path.at(t)
    match predicts:
        case "velocity":
            return m.sigma / (m.alpha * m.sigma_slope - m.alpha_slope * m.sigma)
        case "noise":
            return m.sigma / m.alpha
        case "picture":
            return torch.ones_like(t)
        case "preconditioned":
            return m.sigma * spread / (m.sigma.square() + (m.alpha * spread).square()).sqrt()
