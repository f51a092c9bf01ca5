"""Solvers: one step of the sampling loop, given the model's guess `denoised` of the clean picture.

Pure functions over x = alpha * x0 + sigma * noise, written once: alpha is 1 for models in sigma space (Karras
et al. 2022), and 1 - sigma for flow models. What the papers call lambda is log(alpha / sigma), half the
logarithm of the signal-to-noise ratio; it is -inf for pure noise and inf for none, and every formula takes
its limit there.

`history` holds what the solver kept of earlier calls of the model, the latest last; each function gives the
next x, and what is to be kept. `noise(stage)` draws noise of unit variance, one draw for each item of the
batch, the same for the same stage of a step.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from numpy.polynomial import Polynomial
from torch import Tensor

from graphengine_diffusion.types import History, Past, Timestep

Noise = Callable[[int], Tensor]
Solved = tuple[Tensor, History]


def alpha_at(sigma: float, flow: bool) -> float:
    """What the clean picture is multiplied by at a sigma."""
    return 1.0 - sigma if flow else 1.0


def half_log_snr(sigma: float, flow: bool) -> float:
    """lambda = log(alpha / sigma). Lu et al. 2022, "DPM-Solver"."""
    alpha = alpha_at(sigma, flow)
    if alpha <= 0 or sigma <= 0:
        return -math.inf if alpha <= 0 else math.inf
    return math.log(alpha / sigma)


def slope(x: Tensor, denoised: Tensor, sigma: float) -> Tensor:
    """dx/dsigma = (x - denoised) / sigma: Karras et al. 2022, algorithm 1. For a flow model, the velocity."""
    return (x - denoised) / sigma


def towards(x: Tensor, denoised: Tensor, sigma: float, sigma_next: float, flow: bool) -> Tensor:
    """The exact solution for a guess that does not change: DPM-Solver++(1), which is DDIM.

    Lu et al. 2022, "DPM-Solver++": x_t = sigma_t / sigma_s * x_s + alpha_t (1 - e^-h) * x0, where
    alpha_t (1 - e^-h) = alpha_t - alpha_s * sigma_t / sigma_s, which is also defined where h is infinite.
    """
    ratio = sigma_next / sigma
    return ratio * x + (alpha_at(sigma_next, flow) - alpha_at(sigma, flow) * ratio) * denoised


def ancestral(
    x: Tensor, denoised: Tensor, sigma: float, sigma_next: float, flow: bool, noise: Callable[[], Tensor]
) -> Tensor:
    """A draw from the posterior q(x_t | x_s, x0). Ho et al. 2020, eq. 6 and 7, for any alpha and sigma.

    Its variance is sigma_t^2 (1 - e^-2h). For a guess that does not change it is the exact solution of the
    stochastic equation: SDE-DPM-Solver++(1) of Lu et al. 2022, "DPM-Solver++".
    """
    if sigma_next == 0:
        return denoised
    alpha, alpha_next = alpha_at(sigma, flow), alpha_at(sigma_next, flow)
    shrink = (alpha * sigma_next) / (alpha_next * sigma)  # e^-h
    mean = (sigma_next / sigma) * shrink * x + alpha_next * (1 - shrink**2) * denoised
    return mean + sigma_next * math.sqrt(1 - shrink**2) * noise()


def extrapolated(denoised: Tensor, step: Timestep, history: History) -> Tensor:
    """The guess for the middle of the step, on a line through this guess and the one before.

    Lu et al. 2022, "DPM-Solver++", algorithm 2: D = x0 + (x0 - x0_before) / (2 r).
    """
    now, then = half_log_snr(step.sigma, step.flow), half_log_snr(step.sigma_next, step.flow)
    if not history or math.isinf(then - now):
        return denoised
    before = history[-1]
    r = (now - half_log_snr(before.sigma, step.flow)) / (then - now)
    return denoised + (denoised - before.kept[0]) / (2 * r)


def euler(x: Tensor, denoised: Tensor, step: Timestep, history: History, noise: Noise) -> Solved:
    """Karras et al. 2022, algorithm 1 without the correction."""
    return x + slope(x, denoised, step.sigma) * (step.sigma_next - step.sigma), ()


def euler_ancestral(x: Tensor, denoised: Tensor, step: Timestep, history: History, noise: Noise) -> Solved:
    """Step down to less noise than wanted, then add fresh noise up to `sigma_next`.

    Song et al. 2021, "Denoising Diffusion Implicit Models", eq. 16 with eta = 1.
    """
    return ancestral(x, denoised, step.sigma, step.sigma_next, step.flow, lambda: noise(0)), ()


def ddim(x: Tensor, denoised: Tensor, step: Timestep, history: History, noise: Noise) -> Solved:
    """Song et al. 2021, "Denoising Diffusion Implicit Models", eq. 12 with eta = 0."""
    return towards(x, denoised, step.sigma, step.sigma_next, step.flow), ()


def ddpm(x: Tensor, denoised: Tensor, step: Timestep, history: History, noise: Noise) -> Solved:
    """Ho et al. 2020, algorithm 2, with the variance of the posterior (beta tilde, eq. 7)."""
    return ancestral(x, denoised, step.sigma, step.sigma_next, step.flow, lambda: noise(0)), ()


def ddpm_large(x: Tensor, denoised: Tensor, step: Timestep, history: History, noise: Noise) -> Solved:
    """Ho et al. 2020, algorithm 2, with the larger variance beta_t (section 3.2).

    beta_t belongs to x scaled to unit variance, so it is scaled back here.
    """
    if step.sigma_next == 0:
        return denoised, ()
    shrink = (step.alpha * step.sigma_next) / (step.alpha_next * step.sigma)
    ratio = step.sigma_next / step.sigma
    mean = ratio * shrink * x + step.alpha_next * (1 - shrink**2) * denoised
    whole, whole_next = step.alpha**2 + step.sigma**2, step.alpha_next**2 + step.sigma_next**2
    beta = 1 - (step.alpha**2 / whole) / (step.alpha_next**2 / whole_next)
    return mean + math.sqrt(beta * whole_next) * noise(0), ()


def heun(x: Tensor, denoised: Tensor, step: Timestep, history: History, noise: Noise) -> Solved:
    """Karras et al. 2022, algorithm 1: an Euler step, and then the mean of the slopes at its both ends."""
    d = slope(x, denoised, step.sigma)
    if step.stage == 2:
        before = history[-1]
        x, d_before = before.kept
        return x + (d_before + d) / 2 * (step.sigma_next - before.sigma), ()
    x_next = x + d * (step.sigma_next - step.sigma)
    return x_next, (Past("heun", step.sigma, (x, d)),) if step.stage == 1 else ()


def dpm2(x: Tensor, denoised: Tensor, step: Timestep, history: History, noise: Noise) -> Solved:
    """DPM-Solver-2: the slope half-way in log(sigma). Lu et al. 2022, "DPM-Solver", algorithm 1, r = 1/2."""
    d = slope(x, denoised, step.sigma)
    if step.stage == 2:
        before = history[-1]
        return before.kept[0] + d * (step.sigma_next - before.sigma), ()
    x_next = x + d * (step.sigma_next - step.sigma)
    return x_next, (Past("dpm2", step.sigma, (x,)),) if step.stage == 1 else ()


def dpmpp_2m(x: Tensor, denoised: Tensor, step: Timestep, history: History, noise: Noise) -> Solved:
    """DPM-Solver++(2M). Lu et al. 2022, "DPM-Solver++", algorithm 2.

    The first step has no past, and the last one (to sigma 0, lambda infinite) is of first order.
    """
    D = extrapolated(denoised, step, history)
    x = towards(x, D, step.sigma, step.sigma_next, step.flow)
    return x, (Past("dpmpp_2m", step.sigma, (denoised,)),)


def dpmpp_2m_sde(x: Tensor, denoised: Tensor, step: Timestep, history: History, noise: Noise) -> Solved:
    """SDE-DPM-Solver++(2M), the midpoint form with eta = 1. Lu et al. 2022, "DPM-Solver++"."""
    D = extrapolated(denoised, step, history)
    x = ancestral(x, D, step.sigma, step.sigma_next, step.flow, lambda: noise(0))
    return x, (Past("dpmpp_2m_sde", step.sigma, (denoised,)),)


def dpmpp_sde(x: Tensor, denoised: Tensor, step: Timestep, history: History, noise: Noise) -> Solved:
    """DPM-Solver++ (2S) for the stochastic equation, r = 1/2, eta = 1, as k-diffusion has it.

    The first half goes to the middle in lambda, the second goes all the way with the guess made there. The
    noise of both is of one Brownian path, whose time is sigma.
    """
    if step.stage == 2:
        before = history[-1]
        share = math.sqrt((before.sigma - step.sigma) / (before.sigma - step.sigma_next))

        def path() -> Tensor:
            return share * noise(1) + math.sqrt(1 - share**2) * noise(2)

        return ancestral(before.kept[0], denoised, before.sigma, step.sigma_next, step.flow, path), ()
    x_next = ancestral(x, denoised, step.sigma, step.sigma_next, step.flow, lambda: noise(1))
    return x_next, (Past("dpmpp_sde", step.sigma, (x,)),) if step.stage == 1 else ()


def uni_pc(x: Tensor, denoised: Tensor, step: Timestep, history: History, noise: Noise) -> Solved:
    """UniPC of order 2 with B(h) = e^-h - 1 ("bh2") for models that predict x0. Zhao et al. 2023, "UniPC".

    First the corrector mends the x that the step before gave, with the guess that was made of it; then the
    predictor goes on, which for this order and B(h) is DPM-Solver++(2M).
    """
    if history:
        x = corrected(denoised, step, history)
    D = extrapolated(denoised, step, history)
    x_next = towards(x, D, step.sigma, step.sigma_next, step.flow)
    before = tuple(Past("uni_pc", past.sigma, past.kept[:1]) for past in history[-1:])
    return x_next, (*before, Past("uni_pc", step.sigma, (denoised, x)))


def corrected(denoised: Tensor, step: Timestep, history: History) -> Tensor:
    """UniC: the step before once more, with the guess at its end too. Zhao et al. 2023, "UniPC"."""
    last = history[-1]
    guess, x = last.kept
    start, end = half_log_snr(last.sigma, step.flow), half_log_snr(step.sigma, step.flow)
    h = end - start
    B = math.expm1(-h)
    rise = denoised - guess
    if len(history) == 1:
        change = rise / 2
    else:
        # The paper's conditions for order 2, solved: the sum of a_m r_m^(n-1) is b_n, for n = 1 and 2.
        phi = -B / h - 1
        b_1, b_2 = phi / B, 2 * (-phi / h - 1 / 2) / B
        r = (half_log_snr(history[-2].sigma, step.flow) - start) / h
        a_1 = (b_1 - b_2) / (1 - r)
        change = a_1 * (history[-2].kept[0] - guess) / r + (b_1 - a_1) * rise
    return towards(x, guess, last.sigma, step.sigma, step.flow) - step.alpha * B * change


def lms(x: Tensor, denoised: Tensor, step: Timestep, history: History, noise: Noise) -> Solved:
    """The linear multistep method of Adams and Bashforth, order 4, for dx/dsigma; as k-diffusion has it.

    The polynomial through the last four slopes is integrated from `sigma` to `sigma_next`.
    """
    known = (*history, Past("lms", step.sigma, (slope(x, denoised, step.sigma),)))
    for i, past in enumerate(known):
        # Lagrange's polynomial is 1 at this sigma and 0 at the others; it is counted from the step's sigma.
        others = [p.sigma - step.sigma for j, p in enumerate(known) if j != i]
        basis = Polynomial.fromroots(others) if others else Polynomial([1.0])
        area = basis.integ()(step.sigma_next - step.sigma) / basis(past.sigma - step.sigma)
        x = x + float(area) * past.kept[0]
    return x, known[-3:]


def lcm(x: Tensor, denoised: Tensor, step: Timestep, history: History, noise: Noise) -> Solved:
    """Take the guess, and add fresh noise to it. Song et al. 2023, "Consistency Models", algorithm 1.

    For latent consistency models (Luo et al. 2023); their c_skip is 0 and their c_out 1 within 1e-5 at any
    time from 16 of 1000 on, so these are left out.
    """
    if step.sigma_next == 0:
        return denoised, ()
    return step.alpha_next * denoised + step.sigma_next * noise(0), ()


def res_multistep(x: Tensor, denoised: Tensor, step: Timestep, history: History, noise: Noise) -> Solved:
    """The refined exponential solver, multistep, of second order. Zhang et al. 2023, arXiv 2308.02157.

    x_t = sigma_t / sigma_s * x_s + alpha_t h (b_1 x0 + b_2 x0_before), with b_1 = phi_1(-h) - phi_2(-h) / c,
    b_2 = phi_2(-h) / c, phi_1(z) = (e^z - 1) / z and phi_2(z) = (phi_1(z) - 1) / z.
    """
    kept = (Past("res_multistep", step.sigma, (denoised,)),)
    now, then = half_log_snr(step.sigma, step.flow), half_log_snr(step.sigma_next, step.flow)
    h = then - now
    x = towards(x, denoised, step.sigma, step.sigma_next, step.flow)  # what b_1 and b_2 add up to
    if not history or math.isinf(h):
        return x, kept
    c = (half_log_snr(history[-1].sigma, step.flow) - now) / h
    b_2 = (math.expm1(-h) / h + 1) / h / c
    return x + step.alpha_next * h * b_2 * (history[-1].kept[0] - denoised), kept


def at_the_end(sigma: float, sigma_next: float, flow: bool) -> float:
    """Heun's second call of the model is at the end of the step."""
    return sigma_next


def half_in_log_sigma(sigma: float, sigma_next: float, flow: bool) -> float:
    """The middle of a step in log(sigma)."""
    return math.sqrt(sigma * sigma_next)


def half_in_lambda(sigma: float, sigma_next: float, flow: bool) -> float:
    """The middle of a step in lambda; from pure noise (lambda -inf), the middle in log(sigma)."""
    if not flow or sigma >= 1:
        return half_in_log_sigma(sigma, sigma_next, flow)
    half = math.exp(-(half_log_snr(sigma, flow) + half_log_snr(sigma_next, flow)) / 2)
    return half / (1 + half)


class Solver(NamedTuple):
    """A step; if it asks the model twice, `between` is the sigma of the second time."""

    step: Callable[[Tensor, Tensor, Timestep, History, Noise], Solved]
    between: Callable[[float, float, bool], float] | None = None


SOLVERS = {
    "euler": Solver(euler),
    "euler_ancestral": Solver(euler_ancestral),
    "ddim": Solver(ddim),
    "ddpm": Solver(ddpm),
    "ddpm_large": Solver(ddpm_large),
    "heun": Solver(heun, at_the_end),
    "dpm2": Solver(dpm2, half_in_log_sigma),
    "dpmpp_2m": Solver(dpmpp_2m),
    "dpmpp_2m_sde": Solver(dpmpp_2m_sde),
    "dpmpp_sde": Solver(dpmpp_sde, half_in_lambda),
    "uni_pc": Solver(uni_pc),
    "lms": Solver(lms),
    "lcm": Solver(lcm),
    "res_multistep": Solver(res_multistep),
}
