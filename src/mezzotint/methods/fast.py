"""A flow that draws in one to four steps: a network first learns the flow, then a second one learns its long strides.

The student is told where it stands and how long its stride is, and says the average velocity over it, as a shortcut
model does (Frans et al. 2025); what it is to say of the shortest stride comes from following the teacher with guidance
(guidance distillation, Meng et al. 2023; progressive distillation, Salimans & Ho 2022, in one stage), of a longer one
from two of its own strides of half the length.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from mezzotint.errors import UserError
from mezzotint.method import Method, MethodConfig
from mezzotint.methods.flow import FlowConfig
from mezzotint.methods.following import Drawing, halves
from mezzotint.ops.noise import normal_from_seeds
from mezzotint.types import Batch, DataSpec, Images, Labels, Loss, Phase, Way


@dataclass(frozen=True, kw_only=True)
class FastConfig(MethodConfig):
    """The flow to learn from, and how its strides are learned."""

    teacher: FlowConfig = FlowConfig()
    """Its drawing says how the strides are guided; its path must end in noise alone."""
    learning: float = 0.5
    """Share of the run in which the teacher learns; in the rest the student does."""
    doublings: int = 2
    """From the shortest stride to the longest, which is the whole way: 2 is four steps, two or one."""
    substeps: int = 2
    """Steps of the teacher (midpoint, two looks each) along the shortest stride."""
    longer: float = 0.25
    """Share of a batch on which strides longer than the shortest are learned."""
    drawing: Drawing = Drawing(solver="euler", steps=4)
    """Its steps count, each of which is one stride, and its precision."""

    def __post_init__(self) -> None:
        """Raise ValueError for settings that nothing can be learned with."""
        if not (0 < self.learning < 1 and 0 <= self.longer < 1 and self.doublings >= 1 and self.substeps >= 1):
            raise ValueError("learning and longer are shares; doublings and substeps at least 1")
        if self.drawing.steps not in self.all_steps:
            raise ValueError(f"the steps of drawing can be {', '.join(map(str, self.all_steps))}")
        if replace(self.drawing, steps=4, precision=None) != Drawing(solver="euler", steps=4):
            raise ValueError("strides are learned as they are drawn: guidance and its like are the teacher's drawing")
        if self.teacher.most_noise is not None or self.teacher.path == "exploding" or self.teacher.given is not None:
            raise ValueError("the teacher must draw from noise alone: a path to its end, and nothing given")

    @property
    def all_steps(self) -> tuple[int, ...]:
        """Numbers of steps that it can draw in."""
        return tuple(2**i for i in range(self.doublings + 1))

    def build(self, spec: DataSpec) -> "Fast":
        """Both networks with fresh weights."""
        return Fast(self, spec)


class Fast(Method):
    """Two phases, one after the other: the teacher learns, then the student."""

    distils: Tensor

    def __init__(self, config: FastConfig, spec: DataSpec) -> None:
        super().__init__()
        self.config, self.spec = config, spec
        self.teacher = config.teacher.build(spec)
        self.classes = self.teacher.classes
        self.strides = config.doublings + 1
        # The stride is told beside the class, by a code for each pair of both.
        self.student = config.teacher.network.build(spec, (self.classes + 1) * self.strides - 1)
        self.phases = (
            Phase("learn", trains=("teacher",), ends=config.learning),
            Phase("distil", trains=("student",), begins=config.learning),
        )
        self.register_buffer("distils", torch.tensor(False))
        """Whether the student has begun to learn."""
        self._follow()

    @property
    def stage(self) -> int:
        """1 from where the student learns: what its steps cost and what its error is have nothing of the teacher's."""
        return int(self.distils)

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """A network each."""
        return {"teacher": list(self.teacher.parameters()), "student": list(self.student.parameters())}

    # Training.

    def loss(self, batch: Batch, phase: str) -> Loss:
        """The flow's own loss; or the mean squared error of the student's average velocity."""
        if phase == "learn":
            return self.teacher.loss(batch, "fit")
        labels = self.teacher._labels_to_train_with(batch)
        stride, start = self._strides_to_train(batch)
        x = self.teacher.path.mixed(batch.images, batch.normal(*self.spec.shape), start)
        with torch.no_grad():
            self.eval()  # what is to be said is without dropout
            wanted = self._average_velocity(x, start, stride, labels)
            self.train()
        error = (self._said(x, start, stride, labels) - wanted).square().mean()
        return Loss(error, {"stride_error": error.detach()})

    def after_step(self, phase: str) -> None:
        """While the teacher learns, the student is its copy: that is where it begins.

        It learns from the teacher's last weights, not their average: rates have faded to nothing by then.
        """
        if phase == "learn":
            self._follow()
        else:
            self.distils.fill_(True)

    @torch.no_grad()
    def _follow(self) -> None:
        theirs = dict(self.teacher.network.named_parameters())
        for name, p in self.student.named_parameters():
            source = theirs.get(name)
            if source is None:  # without classes the teacher has no codes
                p.zero_()
            else:
                p.copy_(source if source.shape == p.shape else source.repeat(self.strides, 1))

    def _strides_to_train(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """For each picture which stride, n (0 is the shortest), and where it begins, n 1 1 1; spread over the batch."""
        place = torch.arange(batch.first, batch.first + len(batch), device=batch.images.device)
        share = (place + 0.5) / (batch.whole or len(batch))
        within = torch.special.ndtr(batch.normal(stream=1)).to(share)
        stride = torch.zeros_like(place)
        if self.config.longer:
            upper = ((share - (1 - self.config.longer)) / self.config.longer).clamp(0, 1 - 1e-6)
            stride = torch.where(share < 1 - self.config.longer, 0, 1 + (upper * self.config.doublings).long())
        count = 2 ** (self.config.doublings - stride)
        start = ((within * count).long().clamp(max=count - 1) + 1) / count
        return stride, start.to(batch.images.dtype).view(-1, 1, 1, 1)

    def _average_velocity(self, x: Images, start: Tensor, stride: Tensor, labels: Labels | None) -> Images:
        """Over each picture's stride."""
        short = stride == 0
        found = torch.empty_like(x)
        for rows, follow in ((short, self._taught), (~short, self._own)):
            if bool(rows.any()):
                given = None if labels is None else labels[rows]
                found[rows] = follow(x[rows], start[rows], stride[rows], given).to(x.dtype)
        return found

    def _taught(self, x: Images, start: Tensor, stride: Tensor, labels: Labels | None) -> Images:
        """By the teacher, in midpoint steps."""
        length = 0.5**self.config.doublings
        step, t, y = length / self.config.substeps, start, x
        for _ in range(self.config.substeps):
            half = y - 0.5 * step * self._guided(y, t, labels)
            y = y - step * self._guided(half, t - 0.5 * step, labels)
            t = t - step
        return (x - y) / length

    def _own(self, x: Images, start: Tensor, stride: Tensor, labels: Labels | None) -> Images:
        """By two strides of half the length."""
        half = (0.5 ** (self.config.doublings - stride + 1)).to(x.dtype).view(-1, 1, 1, 1)
        first = self._said(x, start, stride - 1, labels)
        second = self._said(x - half * first, start - half, stride - 1, labels)
        return 0.5 * (first + second)

    def _guided(self, x: Images, t: Tensor, labels: Labels | None) -> Images:
        """The teacher's velocity at each picture's own time, guided as it would be in drawing."""
        d = self.config.teacher.drawing
        if labels is None or d.guidance == 1:
            return self.teacher._plain_velocity(x, t, labels)
        m = self.teacher.path.at(t)
        level = m.sigma / (m.alpha + m.sigma)
        among = (level >= d.guidance_from) & (level <= d.guidance_to) & (labels != self.classes).view(-1, 1, 1, 1)
        rows = among.flatten()
        if not bool(rows.any()):
            return self.teacher._plain_velocity(x, t, labels)
        every = torch.cat([labels, torch.full_like(labels[rows], self.classes)])
        said = self.teacher._plain_velocity(torch.cat([x, x[rows]]), torch.cat([t, t[rows]]), every)
        by_class, without = said[: len(x)], said[len(x) :]
        by_class[rows] = torch.lerp(without, by_class[rows], d.guidance)
        return by_class

    def _said(self, x: Images, t: Tensor, stride: Tensor, labels: Labels | None) -> Images:
        """The student's average velocity from `t` (n 1 1 1) over each picture's stride (n)."""
        m, spread = self.teacher.path.at(t), self.config.teacher.spread
        size = (m.sigma.square() + (m.alpha * spread).square()).sqrt()
        code = stride * (self.classes + 1)
        if self.classes:
            code = code + (self.classes if labels is None else labels)
        return self.student(x / size, (m.sigma / (m.alpha + m.sigma)).flatten(), code).to(x.dtype)

    # Drawing.

    def generate(self, seeds: Sequence[int], labels: Labels | None = None) -> Images:
        """One picture per seed; classes come from `labels`, or from the seeds too."""
        device, steps = next(self.parameters()).device, self.config.drawing.steps
        labels = self.labels_for(seeds, labels)
        x = normal_from_seeds(seeds, *self.spec.shape).to(device)
        stride = torch.full((len(x),), self.config.all_steps[::-1].index(steps), device=device)
        with torch.autocast(device.type, torch.bfloat16, enabled=halves(self.config.drawing.precision, device)):
            for i in range(steps):
                start = torch.full((len(x), 1, 1, 1), 1 - i / steps, dtype=x.dtype, device=device)
                x = x - self._said(x, start, stride, labels) / steps
        return x.clamp(-1, 1)

    def drawing_with(self, way: Way) -> "Fast":
        """The same networks drawing in another number of steps; raises UserError for what was not learned."""
        otherwise = way.solver not in (None, "euler") or way.schedule not in (None, "even")
        guided = way.guidance not in (None, 1.0) or way.guidance_between is not None
        if otherwise or guided:
            raise UserError("a distilled model has learned its steps with their guidance: it takes --steps alone")
        try:
            drawing = self.config.drawing.changed(Way(steps=way.steps))
            config = replace(self.config, drawing=drawing)
        except ValueError as error:
            raise UserError(f"it cannot be drawn so: {error}") from None
        other = copy.copy(self)
        other.config = config
        return other

    @property
    def way_of_drawing(self) -> str:
        """For score cards."""
        return f"{self.config.drawing.steps} learned strides{self.config.teacher.drawing.guided}"

    def denoising_error(self, images: Images, labels: Labels | None, seed: int) -> Tensor:
        """The loss of each picture: the teacher's; once the student learns, its own on two of the shortest strides."""
        if not self.distils:
            return self.teacher.denoising_error(images, labels, seed)
        noise, given = Batch(images, seed=seed).normal(*self.spec.shape), labels if self.classes else None
        stride = torch.zeros(len(images), dtype=torch.long, device=images.device)
        errors: list[Tensor] = []
        for start in (1.0, 0.5):
            t = images.new_full((len(images), 1, 1, 1), start)
            x = self.teacher.path.mixed(images, noise, t)
            error = self._said(x, t, stride, given) - self._taught(x, t, stride, given)
            errors.append(error.square().flatten(1).mean(1))
        return torch.stack(errors).mean(0)
