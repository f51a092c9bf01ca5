"""Numbers: arithmetic, comparison, constants and chance.

Arithmetic is done in float64; `number.round` leads back to whole numbers. A result that is no finite number
is an error that says which operation made it.
"""

from __future__ import annotations

import math
import random as chance
from typing import Annotated, Literal

from pydantic import Field

from graphengine.authoring import Seed, node

PACK = "number"
SEEDS = 2**53


@node
def integer(value: int = 0) -> int:
    """A whole number, to use in several places."""
    return value


@node
def real(value: float = 0.0) -> float:
    """A number, to use in several places."""
    return value


@node
def boolean(value: bool = True) -> bool:
    """True or false, to use in several places."""
    return value


@node
def add(first: float, second: float) -> float:
    """First plus second."""
    return finite(first + second, f"{first} + {second}")


@node
def subtract(first: float, second: float) -> float:
    """First minus second."""
    return finite(first - second, f"{first} - {second}")


@node
def multiply(first: float, second: float) -> float:
    """First times second."""
    return finite(first * second, f"{first} * {second}")


@node
def divide(first: float, second: float) -> float:
    """First divided by second. ValueError where second is 0."""
    if second == 0:
        raise ValueError(f"{first} cannot be divided by 0; give another second number")
    return finite(first / second, f"{first} / {second}")


@node
def remainder(first: float, second: float) -> float:
    """What is left when first is divided by second; it has the sign of second."""
    if second == 0:
        raise ValueError(f"{first} cannot be divided by 0; give another second number")
    return float(first % second)


@node
def power(base: float, exponent: float) -> float:
    """Base raised to an exponent; an exponent of 0.5 is the square root."""
    if base == 0 and exponent < 0:
        raise ValueError(
            f"0 to the power of {exponent} divides by 0; give another base, or an exponent from 0 on"
        )
    if base < 0 and not float(exponent).is_integer():
        raise ValueError(f"{base} to the power of {exponent} is no real number; give a base from 0 on")
    try:
        return math.pow(base, exponent)
    except OverflowError as error:
        raise ValueError(f"{base} to the power of {exponent} is too large a number") from error


@node
def minimum(first: float, second: float) -> float:
    """The smaller of two numbers."""
    return float(min(first, second))


@node
def maximum(first: float, second: float) -> float:
    """The larger of two numbers."""
    return float(max(first, second))


@node
def clamp(value: float, low: float = 0.0, high: float = 1.0) -> float:
    """Hold a number between low and high. ValueError where low is above high."""
    if low > high:
        raise ValueError(f"low, {low}, is above high, {high}; swap them")
    return float(min(max(value, low), high))


@node
def absolute(value: float) -> float:
    """A number without its sign."""
    return float(abs(value))


@node
def interpolate(start: float, stop: float, fraction: float = 0.5) -> float:
    """The number that lies a fraction of the way from start to stop: 0 is start, 1 is stop."""
    return finite(start * (1 - fraction) + stop * fraction, f"{fraction} of the way from {start} to {stop}")


@node
def round(value: float, direction: Literal["nearest", "down", "up"] = "nearest") -> int:
    """The whole number nearest to a number, below it or above it; a half goes away from 0."""
    value = finite(value, "the number to round")
    if direction == "down":
        return math.floor(value)
    if direction == "up":
        return math.ceil(value)
    whole = math.trunc(value)
    return whole + (int(math.copysign(1, value)) if abs(value - whole) >= 0.5 else 0)


@node
def multiple(value: float, of: Annotated[int, Field(ge=1, le=65536)] = 8) -> int:
    """The multiple of a whole number that is nearest to a value: 500 gives 504 for multiples of 8."""
    if of < 1:
        raise ValueError(f"there are no multiples of {of} to choose from; give 1 or more")
    return math.floor(finite(value, "the value") / of + 0.5) * of


@node
def compare(
    first: float, second: float = 0.0, relation: Literal["<", "<=", "=", "!=", ">=", ">"] = ">"
) -> bool:
    """Whether first is below, equal to or above second, as the relation says."""
    below, equal = first < second, first == second
    return {"<": below, "<=": below or equal, "=": equal, "!=": not equal,
            ">=": equal or not below, ">": not (below or equal)}[relation]  # fmt: skip


@node
def random(seed: Seed, low: float = 0.0, high: float = 1.0) -> float:
    """A number drawn evenly between low and high; the same seed draws the same number."""
    if low > high:
        raise ValueError(f"low, {low}, is above high, {high}; swap them")
    return min(low + (high - low) * chance.Random(seed).random(), high)


@node
def random_integer(seed: Seed, low: int = 0, high: int = 100) -> int:
    """A whole number drawn from low to high, both included; the same seed draws the same number."""
    if low > high:
        raise ValueError(f"low, {low}, is above high, {high}; swap them")
    return chance.Random(seed).randint(low, high)


@node
def seed(seed: Seed) -> int:
    """A seed, to use in several places."""
    return seed


@node
def seeds(seed: Seed, count: Annotated[int, Field(ge=1, le=10_000)] = 4) -> list[int]:
    """Several seeds from one, each one more than the one before; the first is the seed itself."""
    return [(seed + k) % SEEDS for k in range(count)]


def finite(value: float, what: str) -> float:
    """The value as a float, if it is a finite one."""
    try:
        number = float(value)
    except OverflowError:  # a whole number beyond what a float holds
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{what} is no finite number; give smaller numbers")
    return number
