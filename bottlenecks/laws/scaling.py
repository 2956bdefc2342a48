r"""Scaling: what loss a training run reaches with so many parameters and tokens, and how to split operations between the two.

Every law here takes numbers and returns numbers; arguments broadcast. The constants are those of a fit, none has a default: a fit
holds for its own data, tokeniser and architecture.
"""

import numpy as np


def loss(params, tokens, *, floor, params_scale, tokens_scale, params_exponent, tokens_exponent):
    r"""Loss of a model after training, in nats per token.

    $$\Lambda = \Lambda_0 + \frac{a_N}{N^{x_N}} + \frac{a_D}{D^{x_D}}$$  (eq:scaling-loss)

    Λ_0  floor            loss that no size and no data go below, for this data        [-]
    N    params           parameters                                                   [-]
    D    tokens           tokens trained on, each seen once                             [-]
    a_N  params_scale     what too few parameters cost                                 [-]
    a_D  tokens_scale     what too few tokens cost                                     [-]
    x_N  params_exponent  exponent of the parameters                                   [-]
    x_D  tokens_exponent  exponent of the tokens                                       [-]

    Holds for: the range of the fit; a training whose rate is lowered to its end at these tokens.
    Source: chinchilla2022, equation 2.

    >>> loss(16.0, 27.0, floor=1.5, params_scale=4.0, tokens_scale=3.0, params_exponent=0.5, tokens_exponent=1.0)
    2.611111111111111
    """
    return floor + params_scale / params**params_exponent + tokens_scale / tokens**tokens_exponent


def best_params(flop, *, params_scale, tokens_scale, params_exponent, tokens_exponent):
    r"""Parameters with which so many operations reach the least loss; the rest goes into tokens, D = F/(6N).

    $$N = \left(\frac{x_N\,a_N}{x_D\,a_D}\right)^{\frac{1}{x_N + x_D}} \left(\frac{F}{6}\right)^{\frac{x_D}{x_N + x_D}}$$  (eq:best-params)

    F    flop             operations of training                       [FLOP]
    a_N  params_scale     what too few parameters cost                 [-]
    a_D  tokens_scale     what too few tokens cost                     [-]
    x_N  params_exponent  exponent of the parameters                   [-]
    x_D  tokens_exponent  exponent of the tokens                       [-]

    Holds for: eq:scaling-loss and F = 6ND. Setting the derivative of the loss along F = 6ND to zero asks that a percent more
    parameters and a percent more tokens be worth the same.
    Source: chinchilla2022, equation 4.

    >>> best_params(6e4, params_scale=1.0, tokens_scale=1.0, params_exponent=0.5, tokens_exponent=0.5)
    100.0
    """
    both = params_exponent + tokens_exponent
    balance = params_exponent * params_scale / (tokens_exponent * tokens_scale)
    return balance ** (1 / both) * (flop / 6) ** (tokens_exponent / both)


def mixture_scale(shares, *, params_scale, finer_scale, finer_exponent):
    r"""What too few parameters cost a mixture of experts: experts that are cut finer make the same parameters go further.

    $$a_N = a_\infty + \frac{a_f}{n_f^{x_f}}$$  (eq:mixture-scale)

    n_f   shares          shares into which an expert is cut; a token uses as many            [-]
    a_\infty  params_scale    what too few parameters cost where experts are cut without end      [-]
    a_f   finer_scale     what whole experts cost beyond finely cut ones                      [-]
    x_f   finer_exponent  exponent of the shares                                              [-]

    Holds for: eq:scaling-loss with N all parameters of 64 experts, not those that a token uses.
    Source: krajewski2024, equation 5.

    >>> mixture_scale(4.0, params_scale=18.0, finer_scale=2.0, finer_exponent=0.5)
    19.0
    """
    return params_scale + finer_scale / shares**finer_exponent


def tokens_for(loss_, params, *, floor, params_scale, tokens_scale, params_exponent, tokens_exponent):
    r"""Tokens with which a model of so many parameters reaches a loss; infinite where it cannot.

    $$D = \left(\frac{a_D}{\Lambda - \Lambda_0 - a_N N^{-x_N}}\right)^{1/x_D}$$  (eq:tokens-for)

    Λ    loss_            loss to be reached                                           [-]
    Λ_0  floor            loss that no size and no data go below, for this data        [-]
    N    params           parameters                                                   [-]
    a_N  params_scale     what too few parameters cost                                 [-]
    a_D  tokens_scale     what too few tokens cost                                     [-]
    x_N  params_exponent  exponent of the parameters                                   [-]
    x_D  tokens_exponent  exponent of the tokens                                       [-]

    Holds for: eq:scaling-loss, of which it is the inverse.
    Source: algebra.

    >>> round(float(tokens_for(2.611111111111111, 16.0, floor=1.5, params_scale=4.0, tokens_scale=3.0, params_exponent=0.5, tokens_exponent=1.0)), 6)
    27.0
    """
    left = loss_ - floor - params_scale / params**params_exponent
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(left > 0, (tokens_scale / np.where(left > 0, left, 1)) ** (1 / tokens_exponent), np.inf)[()]


def effective_tokens(tokens, unique_tokens, *, fade):
    r"""Tokens that are worth as much as those of a corpus which is read several times.

    $$D_u = U_D\left(1 + R_1\left(1 - \exp\left(-\frac{R_D}{R_1}\right)\right)\right), \qquad R_D = \max\left(\frac{D}{U_D} - 1, 0\right)$$  (eq:repeated-data)

    D    tokens         tokens trained on, repeated ones included                     [-]
    U_D  unique_tokens  tokens of the corpus                                           [-]
    R_1  fade      repetitions after which another is worth 1/e of a fresh one    [-]

    Holds for: repetitions of the whole corpus in turn; fewer tokens than the corpus has are all fresh.
    Source: muennighoff2023, equation 5.

    >>> [round(float(effective_tokens(tokens, 1.0, fade=15.39)), 3) for tokens in (2.0, 0.5)]
    [1.968, 0.5]
    """
    again = np.maximum(tokens / unique_tokens - 1, 0)
    return np.minimum(tokens, unique_tokens) + unique_tokens * fade * -np.expm1(-again / fade)


def power(flop, *, at_one, exponent):
    r"""Parameters or tokens of the best split of so many operations, as a power of them.

    $$q = q_1\,F^{x_F}$$  (eq:best-power)

    F    flop      operations of training                   [FLOP]
    q_1  at_one    the quantity's value at one operation    [-]
    x_F  exponent  exponent of the operations               [-]

    Holds for: the range of the fit; its exponents for parameters and tokens add up to one if F = 6ND.
    Source: deepseek2024llm, section 3.2; llama3-herd, section 3.2.1.

    >>> round(power(1e24, at_one=2.0, exponent=0.5) / 1e12, 6)
    2.0
    """
    return at_one * flop**exponent
