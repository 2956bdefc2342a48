"""Losses: published fits of loss to parameters and tokens, the best split of a budget by each, and what serving and repeating change."""

from functools import cache
from typing import NamedTuple

import numpy as np

from bottlenecks import data
from bottlenecks.facts.doors import one_of, positive
from bottlenecks.facts.units import plain
from bottlenecks.laws import counting, scaling
from bottlenecks.studies import bills
from bottlenecks.studies.verdict import Verdict

CONSTANTS = ("floor", "params_scale", "tokens_scale", "params_exponent", "tokens_exponent")
EXPONENTS = CONSTANTS[1:]
ENDLESS = 0.4  # tokens per parameter below which the replication leaves points out
REPEATED = 15.387756  # repetitions after which another is worth 1/e: muennighoff2023
DENSE, MIXTURES = "Krajewski 2024 (dense)", "Krajewski 2024 (mixtures)"
ALL_OVER_USED = (
    8 * 64 + 4
) / 12  # parameters of a layer with 64 experts over those that a token uses, in squares of its width
SERVED_FLOP = 2  # operations per parameter and token of a forward pass


@cache
def laws():
    """Every published fit: name -> its constants, as `laws.scaling.loss` takes them."""
    return {row["name"]: {name: float(row[name]) for name in CONSTANTS} for row in data.rows("scaling_laws")}


def law(name):
    """The constants of a fit."""
    return laws()[one_of("law", name, laws())]


class Split(NamedTuple):
    """A division of a budget: arrays over the budgets."""

    params: np.ndarray
    tokens: np.ndarray
    loss: np.ndarray


def best(constants, flop):
    """`Split` of the least loss for so many operations of training."""
    params = scaling.best_params(positive("flop", flop), **{name: constants[name] for name in EXPONENTS})
    tokens = flop / (6 * params)
    return Split(params, tokens, scaling.loss(params, tokens, **constants))


def mixture(shares):
    """The constants of mixtures of 64 experts, each cut into so many shares, in those parameters that a token uses."""
    positive("shares", shares)
    row = next(row for row in data.rows("scaling_laws") if row["name"] == MIXTURES)
    finer = {name: float(row[name]) for name in ("params_scale", "finer_scale", "finer_exponent")}
    constants = law(MIXTURES)
    # a_N/N^x with N = ALL_OVER_USED n is (a_N / ALL_OVER_USED^x)/n^x
    scale = scaling.mixture_scale(shares, **finer) / ALL_OVER_USED ** constants["params_exponent"]
    return constants | {"params_scale": scale}


def dense_times(flop, shares):
    """How many times the operations a dense model needs for the loss of the best mixture for `flop`; one source's two fits."""
    budgets = flop * np.geomspace(1, 1e3, 2000)
    losses_ = best(law(DENSE), budgets).loss
    return float(np.exp(np.interp(-best(mixture(shares), flop).loss, -losses_, np.log(budgets)))) / flop


def served(constants, flop, tokens_served, *, grid=4000):
    """`Split` that reaches the loss of the best one for `flop`, with the fewest operations of training and serving together.

    Serving takes 2 operations per parameter and token, training 6. Least over a grid of sizes, fine to a thousandth.
    """
    positive("tokens_served", tokens_served, zero_allowed=True)
    start = best(constants, float(flop))
    params = start.params * np.geomspace(0.05, 1.0, grid)
    tokens = scaling.tokens_for(start.loss, params, **constants)
    whole = counting.six_n_d_flop(params, tokens) + SERVED_FLOP * params * tokens_served
    i = int(np.argmin(whole))
    return Split(params[i], tokens[i], start.loss)


def whole_flop(split, tokens_served):
    """Operations of training and of serving so many tokens."""
    return counting.six_n_d_flop(split.params, split.tokens) + SERVED_FLOP * split.params * tokens_served


# ---- the fit, made again


@cache
def points():
    """(params, tokens, loss) of the runs that were read off the figure of chinchilla2022, those that hardly began left out."""
    rows = data.rows("scaling_points")
    params, flop, found = (np.array([float(row[name]) for row in rows]) for name in ("params", "flop", "loss"))
    tokens = flop / (6 * params)
    kept = tokens / params > ENDLESS
    return params[kept], tokens[kept], found[kept]


def fitted(params, tokens, found, *, steps=25, exponents=None):
    """Constants of eq:scaling-loss that fit some runs, by the least sum of absolute logarithms of predicted over found.

    For given exponents the law is linear in the other three, so that each pair of a grid of exponents is one small system of
    equations. Weights 1/|error| turn squares into absolute values, step by step.
    """
    x_n, x_d = (np.linspace(0.25, 0.5, 101), np.linspace(0.2, 0.6, 161)) if exponents is None else exponents
    by_n, by_d = params ** -x_n[:, None], tokens ** -x_d[:, None]
    weight = 1 / found**2
    for _ in range(steps):
        system = np.empty((x_n.size, x_d.size, 3, 3))
        system[..., 0, 0] = weight.sum()
        system[..., 0, 1] = system[..., 1, 0] = (by_n @ weight)[:, None]
        system[..., 0, 2] = system[..., 2, 0] = by_d @ weight
        system[..., 1, 1] = (by_n**2 @ weight)[:, None]
        system[..., 2, 2] = by_d**2 @ weight
        system[..., 1, 2] = system[..., 2, 1] = (by_n * weight) @ by_d.T
        right = np.empty((x_n.size, x_d.size, 3))
        right[..., 0], right[..., 1] = weight @ found, (by_n @ (weight * found))[:, None]
        right[..., 2] = by_d @ (weight * found)
        solved = np.linalg.solve(system, right[..., None])[..., 0]
        i, j = np.unravel_index(np.argmin(weight @ found**2 - (solved * right).sum(axis=-1)), solved.shape[:2])
        error = np.abs(np.log((solved[i, j, 0] + solved[i, j, 1] * by_n[i] + solved[i, j, 2] * by_d[j]) / found))
        weight = np.minimum(1, 1e-3 / np.maximum(error, 1e-9)) / found**2
    return dict(zip(CONSTANTS, (*solved[i, j].tolist(), float(x_n[i]), float(x_d[j])), strict=True))


@cache
def refit():
    """The fit to `points`."""
    return fitted(*points())


@cache
def resampled(times=60, seed=0):
    """Fits to resamples of `points`, as a list of constants: how sure the fit is."""
    every = points()
    count = every[0].size
    rng = np.random.default_rng(seed)
    coarse = (np.linspace(0.27, 0.45, 37), np.linspace(0.25, 0.55, 41))
    found = []
    for _ in range(times):
        drawn = rng.integers(0, count, count)
        found.append(fitted(*(values[drawn] for values in every), steps=8, exponents=coarse))
    return found


def band(flop, confidence=0.8):
    """(low, high) parameters of the best split by the resampled fits."""
    each = np.array([best(constants, flop).params for constants in resampled()])
    return tuple(np.quantile(each, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0))


def tokens_beside(constants, params):
    """Tokens with which models of these sizes are the best of their budgets: a percent more of either is worth the same."""
    x_n, x_d = constants["params_exponent"], constants["tokens_exponent"]
    return (x_d * constants["tokens_scale"] * params**x_n / (x_n * constants["params_scale"])) ** (1 / x_d)


def token_band(params, confidence=0.8):
    """(low, high) of `tokens_beside` by the resampled fits."""
    each = np.array([tokens_beside(constants, params) for constants in resampled()])
    return tuple(np.quantile(each, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0))


def ratio_at(constants, flop):
    """Tokens per parameter of the best split."""
    found = best(constants, flop)
    return found.tokens / found.params


def lost(constants, params, tokens):
    """What a split costs: loss over that of the best one of its operations, and how many operations the best one would need, over its own."""
    flop = counting.six_n_d_flop(params, tokens)
    own, least = scaling.loss(params, tokens, **constants), best(constants, flop).loss
    grid = np.geomspace(1e-3, 1.0, 2000)
    needed = np.array(
        [
            np.interp(-one, -best(constants, f * grid).loss, grid)
            for one, f in zip(np.atleast_1d(own), np.atleast_1d(flop), strict=True)
        ]
    )
    return own - least, needed.reshape(np.shape(own))[()]


# ---- the claim

USED = ("GPT-3 175B", "Gopher 280B", "PaLM 540B", "Chinchilla 70B", "Llama 2 7B", "Llama 3.1 405B", "Llama 3.1 8B")
LAW, OTHER = "Besiroglu 2024", "Hoffmann 2022"


def codesign(names=USED, law_name=LAW, other=OTHER):
    """Verdict on W1-codesign: what the best split would have saved of published runs, and what serving does to it."""
    runs = bills.runs()
    at = [runs["name"].tolist().index(name) for name in names]
    params, tokens = runs["active"][at], runs["tokens"][at]
    more, needed = lost(law(law_name), params, tokens)
    _, by_other = lost(law(other), params, tokens)
    wasted = 1 - needed
    asked = {name: served_for(law(law_name), n, d) for name, n, d in zip(names, params, tokens, strict=True)}
    worst = int(np.argmax(wasted))
    return Verdict(
        claim="W1-codesign",
        verdict="holds-when" if wasted.max() > 0.1 else "fails",
        because=f"At equal operations the best split would have reached the loss of {names[0]} with {plain(100 * needed[0], 2)} % of its operations, and that of {names[worst]} with "
        f"{plain(100 * needed[worst], 2)} %. The second is no mistake: small models on many tokens are what serving asks for.",
        rows=tuple(
            {
                "run": name,
                "tokens per parameter": plain(d / n, 2),
                "loss above the best": f"{a:.3f}",
                f"needed, {law_name}": f"{100 * b:.0f} %",
                f"{other}": f"{100 * c:.0f} %",
                "right for serving": asked[name],
            }
            for name, n, d, a, b, c in zip(names, params, tokens, more, needed, by_other, strict=True)
        ),
        numbers={"needed": dict(zip(names, needed.tolist(), strict=True))},
        margin=f"it would fail if no run had wasted a tenth; {int((wasted < 0.1).sum())} of {len(names)} did not.",
        n=len(names),
        range="Loss by a fit to models of up to 16 billion parameters on one corpus, carried a thousand times further; what a loss is worth to a user is another question.",
    )


def served_for(constants, params, tokens):
    """Tokens to be served for which a split is the cheapest of its loss, as words; by the first-order condition.

    x_N a_N N^-x_N / (x_D a_D D^-x_D) = 1 + D_served/(3 D).
    """
    x_n, x_d = constants["params_exponent"], constants["tokens_exponent"]
    marginal = x_n * constants["params_scale"] / params**x_n / (x_d * constants["tokens_scale"] / tokens**x_d)
    served_tokens = 3 * tokens * (marginal - 1)
    return "nothing" if served_tokens <= 0 else f"{plain(served_tokens / 1e12, 2)} trillion tokens"
