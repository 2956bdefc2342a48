r"""Counting: closed forms of the operations of a transformer, as the literature prints them.

Each is a formula on numbers with its own idea of what counts; `ops` counts the same things row by row.
"""


def six_n_d_flop(params, tokens):
    r"""Training operations by the rule of thumb: two forward, four backward, for each weight and token.

    $$F = 6\,N\,D$$  (eq:six-n-d)

    N  params  parameters                [-]
    D  tokens  tokens trained on         [-]

    Holds for: weights that all multiply, once a token; attention's own products, which involve no
    weight, are left out, and so is an embedding that is only looked up, if N leaves it out.
    Source: kaplan2020scaling, section 2.1.

    >>> six_n_d_flop(1e9, 1e9)
    6e+18
    """
    return 6 * params * tokens


def palm_flop(params, tokens, *, layers, heads, head_values, context_tokens):
    r"""Training operations with attention over the full square of a context.

    $$F = D\,(6N + 12\,\ell\,h\,d_h\,S)$$  (eq:palm-flop)

    N    params          parameters            [-]
    D    tokens          tokens trained on     [-]
    ℓ    layers          layers                [-]
    h    heads           heads of a layer      [-]
    d_h  head_values     values of a head      [-]
    S    context_tokens  tokens of a sequence  [-]

    Holds for: decoders; the causal half is counted in full, so half of the second term is work that
    a kernel may skip.
    Source: palm_t3, appendix B.

    >>> palm_flop(10, 1, layers=1, heads=2, head_values=3, context_tokens=4)
    348
    """
    return tokens * (6 * params + 12 * layers * heads * head_values * context_tokens)


def megatron_flop(*, batch, context_tokens, layers, width, vocab, recomputed=True):
    r"""Operations of a training iteration of a GPT, from its shape.

    $$F = 24\,f\,B \ell d^2\left(1 + \frac{S}{6d}\right) + 6\,B d V, \qquad f = 4\ \text{or}\ 3$$  (eq:megatron-flop)

    B/S  batch           batch: sequences of the iteration                        [-]
    S    context_tokens  tokens of a sequence                                     [-]
    ℓ    layers          layers                                                   [-]
    d    width           values of a token                                        [-]
    V    vocab           words                                                    [-]
    f    recomputed      passes over the layers: 4 if activations are made again  [-]

    Holds for: multi-head attention of width d, a feed-forward of 4 d without a gate, the full square
    of attention.
    Source: megatron2021_t1, equation 3, which has f = 4 and factors it out.

    >>> megatron_flop(batch=1, context_tokens=6, layers=1, width=1, vocab=16)
    1728.0
    """
    passes = 4 if recomputed else 3
    layers_flop = 24 * passes * batch * context_tokens * layers * width**2
    return layers_flop * (1 + context_tokens / (6 * width)) + 6 * batch * context_tokens * width * vocab


def experts_touched(experts, experts_per_token, tokens):
    r"""Experts of a layer that at least one token of a batch visits, on average.

    $$E_t = E\left(1 - \left(1 - \frac{E_k}{E}\right)^{B}\right)$$  (eq:experts-touched)

    E    experts            experts of the layer           [-]
    E_k  experts_per_token  experts chosen for each token  [-]
    B    tokens             tokens in the pass             [-]

    Holds for: tokens that choose independently and evenly; a router's favourites touch fewer.
    Source: counting, an expert is missed by one token with probability 1 - E_k/E.

    >>> experts_touched(4, 2, 2)
    3.0
    """
    return experts * (1 - (1 - experts_per_token / experts) ** tokens)
