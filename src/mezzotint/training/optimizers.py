"""Optimizers by name, their schedules as functions of progress, and the state of one as plain tensors."""

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from mezzotint.recipe import Optimizer


def build(settings: Optimizer, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimizer that `settings` names; its learning rate is set anew before each step."""
    s, betas = settings, (settings.betas[0], settings.betas[1])
    if s.weight_decay and not s.decay_vectors and s.name in ("adam", "adamw", "sgd"):
        return _without_decay_of_vectors(s, parameters)
    fused = bool(parameters) and parameters[0].device.type in ("cpu", "cuda")
    match s.name:
        case "adam":
            return torch.optim.Adam(parameters, s.lr, betas, s.eps, s.weight_decay, fused=fused)
        case "adamw":
            return torch.optim.AdamW(parameters, s.lr, betas, s.eps, s.weight_decay, fused=fused)
        case "sgd":
            nesterov = s.momentum > 0
            return torch.optim.SGD(parameters, s.lr, s.momentum, 0, s.weight_decay, nesterov, fused=fused)
        case "rmsprop":
            return torch.optim.RMSprop(parameters, s.lr, 0.99, s.eps, s.weight_decay, s.momentum)
        case "adagrad":
            return torch.optim.Adagrad(parameters, s.lr, weight_decay=s.weight_decay, eps=s.eps)
        case "muon":
            return Muon(parameters, s)


def spread_over(settings: Optimizer, turns: float) -> Optimizer:
    """The settings for a group that is trained `turns` times a step, so that a step moves and forgets as one turn does.

    Karras et al. 2020 (StyleGAN2), appendix B, where a penalty every k steps makes 1 + 1/k turns: with c = k/(k + 1)
    the rate is multiplied by c and the betas are raised to c. Up to one turn a step changes nothing.
    """
    if turns <= 1:
        return settings
    c = 1 / turns
    rates = {"lr": settings.lr * c, "vector_lr": settings.vector_lr * c, "momentum": settings.momentum**c}
    return replace(settings, **rates, betas=(settings.betas[0] ** c, settings.betas[1] ** c))


def _without_decay_of_vectors(settings: Optimizer, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """Two groups of parameters: matrices and filters, then vectors (He et al. 2019, "Bag of tricks", section 3.1)."""
    all_alike = replace(settings, decay_vectors=True)
    vectors = [p for p in parameters if p.ndim <= 1]
    built = build(all_alike, [p for p in parameters if p.ndim > 1])
    if vectors:
        built.param_groups += build(replace(all_alike, weight_decay=0.0), vectors).param_groups
    return built


def rate_factor(settings: Optimizer, progress: float) -> float:
    """What the learning rate is multiplied by at `progress` in [0, 1]: warm-up, then decay to `final`."""
    if progress < settings.warmup:
        return progress / settings.warmup
    start = max(settings.warmup, settings.decay_from)
    if settings.schedule == "constant" or progress <= start:
        return 1.0
    x = (progress - start) / max(1e-12, 1 - start)
    falling = 1 - x if settings.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * x))
    return settings.final + (1 - settings.final) * falling


def set_rate(optimizer: torch.optim.Optimizer, settings: Optimizer, progress: float) -> None:
    """Give every parameter group of `optimizer` its learning rate at `progress`."""
    for group in optimizer.param_groups:
        group["lr"] = group.get("full_lr", settings.lr) * rate_factor(settings, progress)


@torch.no_grad()
def add_penalties(settings: Optimizer, parameters: Iterable[nn.Parameter]) -> None:
    """Add the gradients of l1·sum|w| + l2·sum w² to those of the weights (biases and norms go free)."""
    if settings.l1 == 0 and settings.l2 == 0:
        return
    for p in parameters:
        if p.ndim >= 2 and p.grad is not None:
            p.grad.add_(p.sign(), alpha=settings.l1).add_(p, alpha=2 * settings.l2)


def orthogonalized(matrices: Tensor, steps: int = 5) -> Tensor:
    """Each matrix (n, rows, columns) with its singular values brought near 1, by the quintic Newton-Schulz iteration.

    Jordan et al. 2024, "Muon: an optimizer for hidden layers"; coefficients of that text. All iterates are polynomials
    of one small Gram matrix times the matrix itself, so the iteration runs on the Gram matrix and the long matrix is
    multiplied once, at the end.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = (matrices.mT if tall else matrices).float()
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    gram = x @ x.mT
    identity = torch.eye(gram.shape[-1], device=x.device)
    product: Tensor | None = None
    for step in range(steps):
        factor = torch.baddbmm(b * gram, gram, gram, alpha=c) + a * identity
        product = factor if product is None else factor @ product
        if step < steps - 1:
            gram = factor @ gram @ factor
    x = x if product is None else product @ x
    return x.mT if tall else x


def _is_matrix(p: Tensor) -> bool:
    """Muon's are the weights that have at least 16 rows and 16 columns once flattened: the shape alone decides.

    So a first layer or head of that size is one of them, which Jordan et al. 2024 leave to AdamW; one of ten classes,
    or of 3×3 grey pixels, is not.
    """
    return p.ndim >= 2 and min(p.shape[0], p[0].numel()) >= 16


class Muon(torch.optim.Optimizer):
    """Momentum whose matrices are orthogonalized (Jordan et al. 2024); all other parameters take AdamW's steps.

    torch.optim.Muon admits only two-dimensional parameters; here the filters of convolutions are flattened to
    (out, in·h·w), and filters of one shape are orthogonalized together.
    """

    def __init__(self, parameters: list[nn.Parameter], settings: Optimizer) -> None:
        matrices = [p for p in parameters if _is_matrix(p)]
        vectors = [p for p in parameters if not _is_matrix(p)]
        vectors_decay = settings.weight_decay if settings.decay_vectors else 0.0
        groups: list[dict[str, Any]] = [
            {"params": matrices, "matrix": True, "full_lr": settings.lr, "decay": settings.weight_decay},
            {"params": vectors, "matrix": False, "full_lr": settings.vector_lr, "decay": vectors_decay},
        ]
        super().__init__([g for g in groups if g["params"]], {"lr": settings.lr})
        self.settings = settings

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Take in a group. The inherited way imports torch's compiler, over a second at the start of each training."""
        self.param_groups.append({**self.defaults, **param_group})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Descend once in the gradients that are there."""
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if parameters:
                (self._step_matrices if group["matrix"] else self._step_vectors)(
                    parameters, group["lr"], group["decay"]
                )

    def _step_matrices(self, parameters: list[nn.Parameter], lr: float, decay: float) -> None:
        by_shape: dict[tuple[int, int], list[nn.Parameter]] = {}
        for p in parameters:
            by_shape.setdefault((p.shape[0], p[0].numel()), []).append(p)
        for shape, members in by_shape.items():
            updates = orthogonalized(torch.stack([self._momentum(p).reshape(shape) for p in members]))
            # Steps of one size for every shape of matrix: the root mean square of an update is about 0.2 lr.
            scale = 0.2 * max(shape) ** 0.5
            for p, update in zip(members, updates, strict=True):
                p.mul_(1 - lr * decay).add_(update.reshape(p.shape), alpha=-lr * scale)

    def _momentum(self, p: nn.Parameter) -> Tensor:
        """Nesterov's look-ahead of the running gradient."""
        assert p.grad is not None
        if "momentum" not in self.state[p]:
            self.state[p]["momentum"] = torch.zeros_like(p)
        buffer = self.state[p]["momentum"]
        buffer.lerp_(p.grad, 1 - self.settings.momentum)
        return p.grad.lerp(buffer, self.settings.momentum)

    def _step_vectors(self, parameters: list[nn.Parameter], lr: float, decay: float) -> None:
        beta1, beta2 = self.settings.betas[:2]
        for p in parameters:
            assert p.grad is not None
            state = self.state[p]
            if not state:
                state.update(step=torch.tensor(0.0), exp_avg=torch.zeros_like(p), exp_avg_sq=torch.zeros_like(p))
            state["step"] += 1
            t = float(state["step"])
            state["exp_avg"].lerp_(p.grad, 1 - beta1)
            state["exp_avg_sq"].mul_(beta2).addcmul_(p.grad, p.grad, value=1 - beta2)
            root = (state["exp_avg_sq"] / (1 - beta2**t)).sqrt_().add_(self.settings.eps)
            p.mul_(1 - lr * decay).addcdiv_(state["exp_avg"], root, value=-lr / (1 - beta1**t))


def state_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """All that the optimizer remembers, by `parameter number.name`, numbered as `state_dict` does."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    remembered = [(i, optimizer.state.get(p, {})) for i, p in enumerate(parameters)]
    return {f"{i}.{k}": torch.as_tensor(v) for i, state in remembered for k, v in state.items() if v is not None}


def load_state_tensors(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """The inverse of `state_tensors`, in the memory layout of the parameters."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    for group in optimizer.param_groups:
        for p in group["params"]:
            for key, value in optimizer.state.get(p, {}).items():
                if isinstance(value, Tensor) and value.shape == p.shape:
                    optimizer.state[p][key] = torch.empty_like(p, dtype=value.dtype).copy_(value)
