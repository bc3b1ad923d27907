"""Recipes of flows and diffusion."""

from dataclasses import replace

import torch

from mezzotint.method import MethodConfig
from mezzotint.methods.fast import FastConfig
from mezzotint.methods.flow import FlowConfig
from mezzotint.methods.following import Drawing
from mezzotint.networks.unet import UnetConfig
from mezzotint.ops.degrade import Edges, Grey, Holes, Shrunk
from mezzotint.recipe import Averaging, Optimizer, Recipe
from mezzotint.recipes.choose import machine
from mezzotint.recipes.work import affordable, multiply_adds
from mezzotint.types import DataSpec


def _denoiser(name: str, method: MethodConfig) -> Recipe:
    """What flow and diffusion share: Muon, whose rate fades out to nothing, so that the last weights are the good."""
    muon = Optimizer(name="muon", lr=0.02, vector_lr=2e-3, betas=(0.9, 0.99), schedule="cosine", warmup=0.02)
    return Recipe(
        name=name,
        method=method,
        optimizers={"network": muon},
        batch=64,
        milestones=4,
        clip_norm=1.0,
        averaging=Averaging(share=0.02),
    )


def _unet(minutes: float) -> UnetConfig:
    """As wide and deep as the budget feeds."""
    return UnetConfig(width=48 if minutes < 3 else 64 if minutes < 20 else 96, blocks=1 if minutes < 20 else 2)


def flow(spec: DataSpec, minutes: float) -> Recipe:
    """Flow matching along straight paths (Lipman et al. 2023; Liu et al. 2023), by class where there are classes.

    Seventeen looks at the network a picture: DPM-Solver++ in ten steps, with guidance at middling noise, which trades
    some variety for faithfulness.
    """
    return _denoiser("flow", _flow(spec, minutes))


def _flow(spec: DataSpec, minutes: float) -> FlowConfig:
    guidance = 2.0 if spec.classes else 1.0
    drawing = Drawing(solver="dpm-solver", steps=10, guidance=guidance, guidance_from=0.2, guidance_to=0.8)
    return FlowConfig(network=_unet(minutes), conditional=bool(spec.classes), drawing=drawing)


LARGE = tuple(UnetConfig(width=width, blocks=2, dropout=0.1) for width in (224, 256, 288, 320))
"""About 30 to 60 million parameters; with the dropout of Ho et al. 2020, appendix B."""


def flow_large(spec: DataSpec, minutes: float, pace: float | None = None) -> Recipe:
    """`flow` for a GPU or for hours: as large as the budget affords, in large batches.

    At this `pace` (`recipes.work`), or else that of the machine at hand: on a CPU mostly the smallest.
    """
    most = affordable(spec, minutes, machine()[0] if pace is None else pace)
    network = next((unet for unet in reversed(LARGE) if _work(unet, spec) <= most), LARGE[0])
    return replace(_denoiser("flow-large", replace(_flow(spec, minutes), network=network)), batch=256)


def _work(network: UnetConfig, spec: DataSpec) -> int:
    """Multiply-adds of one look at one picture, counted without numbers."""
    with torch.device("meta"):
        return multiply_adds(network.build(spec, 0).eval(), torch.zeros(1, *spec.shape), torch.zeros(1))


def flow_inpaint(spec: DataSpec, minutes: float) -> Recipe:
    """A flow that is shown pictures with holes of many kinds and draws what is missing (Saharia et al. 2022, Palette).

    Where nothing is shown it draws pictures, as `flow` does.
    """
    return _denoiser("flow-inpaint", replace(_flow(spec, minutes), given=Holes()))


def flow_upscale(spec: DataSpec, minutes: float) -> Recipe:
    """A flow that is shown a small picture and draws the large one (Saharia et al. 2021, SR3; here without its noise).

    A quarter of the side; half of it for pictures of under 16 pixels.
    """
    factor = 4 if min(spec.height, spec.width) >= 16 else 2
    return _denoiser("flow-upscale", replace(_flow(spec, minutes), given=Shrunk(factor=factor)))


def flow_color(spec: DataSpec, minutes: float) -> Recipe:
    """A flow that is shown a grey picture and draws the one in color (Saharia et al. 2022, Palette)."""
    return _denoiser("flow-color", replace(_flow(spec, minutes), given=Grey()))


def flow_edges(spec: DataSpec, minutes: float) -> Recipe:
    """A flow that is shown the edges of a picture, those that `cogan` draws, and draws the picture."""
    return _denoiser("flow-edges", replace(_flow(spec, minutes), given=Edges()))


def edm(spec: DataSpec, minutes: float) -> Recipe:
    """Diffusion with a preconditioned network and times of log-normal noise (Karras et al. 2022)."""
    return _denoiser(
        "edm",
        FlowConfig(
            network=_unet(minutes),
            path="exploding",
            predicts="preconditioned",
            times="logit-normal",
            times_mean=-1.2,
            times_deviation=1.2,
            most_noise=80.0,
            conditional=bool(spec.classes),
            drawing=Drawing(solver="dpm-solver", steps=12, schedule="karras"),
        ),
    )


def ddpm(spec: DataSpec, minutes: float) -> Recipe:
    """The classic: say the noise of one of a thousand steps (Ho et al. 2020); drawn in fewer steps than the paper's."""
    return _denoiser(
        "ddpm",
        FlowConfig(
            network=_unet(minutes),
            path="circle",
            predicts="noise",
            times="ddpm",
            most_noise=157.0,
            conditional=bool(spec.classes),
            drawing=Drawing(solver="dpm-solver", steps=12, schedule="even"),
        ),
    )


def flow_fast(spec: DataSpec, minutes: float) -> Recipe:
    """A flow, and what it draws with guidance distilled into a network that draws in four steps, in two or in one.

    Strides as of a shortcut model (Frans et al. 2025), taught by the flow that was learned first (Meng et al. 2023).
    """
    base = _denoiser("flow-fast", FastConfig(teacher=_flow(spec, minutes)))
    teacher = base.optimizers["network"]
    student = replace(teacher, lr=0.01, vector_lr=1e-3)
    return replace(base, optimizers={"teacher": teacher, "student": student})
