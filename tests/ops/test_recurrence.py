import torch
from torch import Tensor
from torch.nn import functional as F

from mezzotint.ops.recurrence import LstmSequence, Remember


def numbers(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator).requires_grad_()


def by_hand(seen: Tensor, weight: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Shi et al. 2015, equation 3, without peepholes."""
    outputs = []
    for now in seen:
        i, f, o, g = (now + F.conv2d(h, weight, padding=weight.shape[2] // 2)).split(weight.shape[1], 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        outputs.append(h)
    return torch.stack(outputs), c


def lstm_arguments(kernel: int = 3) -> tuple[Tensor, ...]:
    sides = numbers(1, 2, 3, 2), numbers(1, 2, 3, 2, seed=1)
    return numbers(3, 1, 8, 3, 2, seed=2), numbers(8, 2, kernel, kernel, seed=3), *sides


def test_a_sequence_is_the_equations_step_by_step():
    for kernel in (1, 3):
        arguments = lstm_arguments(kernel)
        ours, theirs = LstmSequence.apply(*arguments), by_hand(*arguments)
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
        wanted = [torch.randn_like(part) for part in theirs]
        gradients = [torch.autograd.grad(parts, arguments, wanted) for parts in (ours, theirs)]
        for a, b in zip(*gradients, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_the_gradients_of_a_sequence():
    assert torch.autograd.gradcheck(LstmSequence.apply, lstm_arguments())


def test_a_sequence_that_begins_with_nothing():
    seen, weight, h, c = lstm_arguments()
    nothing = torch.zeros_like(h)
    for steps in (1, 3):
        ours, theirs = (f(seen[:steps], weight, nothing, c) for f in (LstmSequence.apply, by_hand))
        gradients = [torch.autograd.grad(outputs.sum() + last.sum(), (seen, c)) for outputs, last in (ours, theirs)]
        for a, b in zip(*gradients, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)
    outputs = [f(seen, weight, nothing, c)[0] for f in (LstmSequence.apply, by_hand)]
    a, b = (torch.autograd.grad(out.square().sum(), weight)[0] for out in outputs)
    torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)
    assert not torch.autograd.grad(LstmSequence.apply(seen[:1], weight, nothing, c)[0].sum(), weight)[0].any()


def test_the_gradients_of_a_sequence_whose_weights_are_fixed():
    seen, weight, h, c = lstm_arguments()
    fixed = weight.detach()
    outputs, _ = LstmSequence.apply(seen, fixed, h, c)
    outputs.sum().backward()
    assert fixed.grad is None
    assert seen.grad is not None


def test_a_memory_of_a_wider_type():
    seen, weight, h, c = (part.detach() for part in lstm_arguments())
    low = [part.to(torch.bfloat16).requires_grad_() for part in (seen, weight, h)]
    memory = c.float().requires_grad_()
    outputs, last = LstmSequence.apply(*low, memory)
    assert (outputs.dtype, last.dtype) == (torch.bfloat16, torch.float32)
    (outputs.float().sum() + last.sum()).backward()
    assert (low[0].grad.dtype, memory.grad.dtype) == (torch.bfloat16, torch.float32)
    torch.testing.assert_close(last.double(), by_hand(seen, weight, h, c)[1], rtol=0.05, atol=0.05)


def test_remembering():
    asked, memory = numbers(2, 9, 3, 4), numbers(2, 3, 3, 4, seed=1)
    i, f, g = asked.chunk(3, 1)
    torch.testing.assert_close(Remember.apply(asked, memory), f.sigmoid() * memory + i.sigmoid() * g.tanh())
    assert torch.autograd.gradcheck(Remember.apply, (asked, memory))
