"""Asymmetric numeral systems (Duda 2013): numbers of known probabilities to bytes and back, many streams abreast.

A *lane* is one stream with one state of 40 bits, renormalized by words of 16 bits to lie in [2^24, 2^40). A *round*
codes at most one number a lane, all lanes of the round in one go of numpy. A lane begins at state 1 rather than at
2^24, and its last state is written without leading zeros, so that a stream is one or two bytes longer than its content.
It also ends at state 1 where it is read: most damage shows there, whatever numbers came out before.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PRECISION = 16
"""Frequencies of a distribution sum to 2^16."""
_WORD = 16
_LEAST = 24
"""A state that words follow is at least 2^24: 2^8 times the precision, so that its remainders cost hardly a bit."""

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Round:
    """What one round codes: different lanes, and each number's interval [low, low + frequency) of [0, 2^16)."""

    lanes: Integers
    low: Integers
    frequency: Integers


def encode(rounds: Sequence[Round], lanes: int) -> list[bytes]:
    """The stream of each lane; frequencies lie in 1 … 2^16 - 1."""
    states = np.ones(lanes, np.int64)
    owners, words = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for step in reversed(rounds):
        state = states[step.lanes]
        full = state >= step.frequency << (_LEAST + _WORD - PRECISION)
        owners.append(step.lanes[full])
        words.append(state[full] & 0xFFFF)
        state = np.where(full, state >> _WORD, state)
        quotient, rest = np.divmod(state, step.frequency)
        states[step.lanes] = (quotient << PRECISION) + rest + step.low
    owner = np.concatenate(owners)[::-1]
    order = np.argsort(owner, kind="stable")
    stored = np.concatenate(words)[::-1][order].astype(">u2")
    ends = np.cumsum(np.bincount(owner, minlength=lanes))
    starts = np.concatenate([[0], ends[:-1]])
    return [
        _state_bytes(int(state)) + stored[start:end].tobytes()
        for state, start, end in zip(states, starts, ends, strict=True)
    ]


class Decoder:
    """Takes numbers off streams in the order in which they were given to `encode`."""

    def __init__(self, streams: Sequence[bytes]) -> None:
        cuts = [_state_length(len(stream)) for stream in streams]
        heads = [int.from_bytes(s[:cut], "big") for s, cut in zip(streams, cuts, strict=True)]
        self.states = np.array([head or 1 for head in heads], np.int64)
        self._words = np.frombuffer(
            b"".join(s[cut:] for s, cut in zip(streams, cuts, strict=True)) + b"\0\0", ">u2"
        ).astype(np.int64)
        counts = np.array([(len(s) - cut) // 2 for s, cut in zip(streams, cuts, strict=True)], np.int64)
        self._ends = np.cumsum(counts)
        self._next = self._ends - counts

    def slots(self, lanes: Integers) -> Integers:
        """A number of [0, 2^16) of each lane: it lies in the interval of what comes next."""
        return self.states[lanes] & 0xFFFF

    def advance(self, lanes: Integers, low: Integers, frequency: Integers) -> None:
        """Take what lies in the interval [low, low + frequency) off each lane."""
        state = self.states[lanes]
        state = frequency * (state >> PRECISION) + (state & 0xFFFF) - low
        at = self._next[lanes]
        hungry = (state < 1 << _LEAST) & (at < self._ends[lanes])
        self.states[lanes] = np.where(hungry, (state << _WORD) | self._words[np.where(hungry, at, 0)], state)
        self._next[lanes] = at + hungry

    def whole(self) -> NDArray[np.bool_]:
        """Of each lane, whether it ended as a stream does that was read to its end with the right distributions."""
        return (self.states == 1) & (self._next == self._ends)


def _state_bytes(state: int) -> bytes:
    return b"" if state == 1 else state.to_bytes((state.bit_length() + 7) // 8, "big")


def _state_length(total: int) -> int:
    """Words follow only a state of four or five bytes, and they take two: the parity tells which."""
    return total if total <= 5 else 4 + total % 2
