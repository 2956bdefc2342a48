r"""Memory: what training and inference keep on a chip, in bytes.

Every law here takes numbers in base SI and returns a number in base SI; arguments broadcast. A
switch (is attention fused? are gradients sharded?) is a number too, 0 or 1, so that it may be an array.
"""

from typing import NamedTuple

import numpy as np

# ---- weights, gradients, optimiser states


class Recipe(NamedTuple):
    """Bytes that an optimiser keeps for a parameter, by what ZeRO may shard."""

    weight_bytes: float
    gradient_bytes: float
    state_bytes: float  # with the fp32 copy of the weights, where there is one
    step_bytes: float  # alive during the step alone, sharded as the states
    embedding_state_bytes: float  # of input embedding and output head


TWO_OF_8_BITS = 2 * (1 + 4 / 256)  # bitsandbytes-optimizers: a byte each, and an fp32 scale for 256 (once 2,048)

RECIPES = {
    # rajbhandari2020zero: fp16 weights and gradients; fp32 weights, momentum, variance
    "adam": Recipe(2, 2, 12, 0, 12),
    # megatron-distributed-optimizer: 16-bit gradients are widened before the step, 20 in all
    "adam, widened gradients": Recipe(2, 2, 12, 4, 12),
    # pytorch-adam: and the step, not fused into one kernel, keeps one more fp32 copy
    "adam, not fused": Recipe(2, 2, 12, 8, 12),
    # megatron-distributed-optimizer: gradients are summed in fp32, 18 in all
    "adam, fp32 gradients": Recipe(2, 4, 12, 0, 12),
    # bloom_prequel, "Rebalancing layers": 16-bit gradients and their sum in fp32
    "adam, both gradients": Recipe(2, 6, 12, 0, 12),
    # megatron-distributed-optimizer: no 16-bit copy outside the products, 16 in all
    "adam, fp32": Recipe(4, 4, 8, 0, 8),
    "adam, no fp32 weights": Recipe(2, 2, 8, 0, 8),
    "adam, bf16 alone": Recipe(2, 2, 4, 0, 4),
    "adam, fp8 weights": Recipe(1, 2, 12, 0, 12),
    "adam, 8-bit": Recipe(2, 2, 4 + TWO_OF_8_BITS, 0, 4 + TWO_OF_8_BITS),
    # as fine-tuning has it, without fp32 weights; where a trainer keeps the embedding's states in fp32, 6 B more there
    "adam, 8-bit alone": Recipe(2, 2, TWO_OF_8_BITS, 0, TWO_OF_8_BITS),
    "adafactor": Recipe(2, 2, 4, 0, 4),  # fp32 weights; eq:factored-moment is not counted
    "adafactor, bf16 alone": Recipe(2, 2, 0, 0, 0),
    # pytorch-muon: one momentum for a matrix; embedding and head stay with Adam
    "muon": Recipe(2, 2, 8, 0, 12),
    "muon, bf16 alone": Recipe(2, 2, 2, 0, 4),
    "sgd, momentum": Recipe(2, 2, 8, 0, 8),
    "sgd": Recipe(2, 2, 4, 0, 4),
    "sgd, bf16 alone": Recipe(2, 2, 0, 0, 0),
}


def shards(zero, ranks, *, from_stage):
    r"""Parts into which ZeRO cuts one kind of state: optimiser from stage 1, gradients 2, weights 3.

    $$g_Z = \begin{cases} g_d & Z \ge Z_k \\ 1 & \text{otherwise}\end{cases}$$  (eq:zero-shards)

    Z    zero        stage of ZeRO, 0 for none                     [-]
    g_d  ranks       ranks that share; fewer than all is "hybrid"  [-]
    Z_k  from_stage  stage from which this kind is cut             [-]

    Holds for: data-parallel ranks, and context-parallel ones, which hold the same weights.
    Source: rajbhandari2020zero.

    >>> int(shards(1, 64, from_stage=1)), int(shards(1, 64, from_stage=2))
    (64, 1)
    """
    return np.where(np.greater_equal(zero, from_stage), ranks, 1)


def states_bytes(params, *, weight_bytes, gradient_bytes, state_bytes, zero, ranks):
    r"""Bytes of weights, gradients and optimiser states on one rank.

    $$M = N\left(\frac{b_w}{g_3} + \frac{b_g}{g_2} + \frac{b_o}{g_1}\right)$$  (eq:zero-states)

    N    params          parameters of the rank's part of the model       [-]
    b_w  weight_bytes    of a weight                                      [B]
    b_g  gradient_bytes  of a gradient                                    [B]
    b_o  state_bytes     optimiser states of a parameter                  [B]
    Z    zero            stage of ZeRO; g_z is eq:zero-shards at stage z  [-]
    g_d  ranks           ranks that share                                 [-]

    Holds for: states alone, between two steps; the weights gathered for a product come on top.
    Source: rajbhandari2020zero, Figure 1.

    >>> adam = {"weight_bytes": 2, "gradient_bytes": 2, "state_bytes": 12}
    >>> float(states_bytes(1e9, **adam, zero=1, ranks=4))
    7000000000.0
    """
    return params * (
        weight_bytes / shards(zero, ranks, from_stage=3)
        + gradient_bytes / shards(zero, ranks, from_stage=2)
        + state_bytes / shards(zero, ranks, from_stage=1)
    )


def factored_moment_values(rows, columns):
    r"""Values of a second moment kept as its row sums and column sums.

    $$N_2 = m + n$$  (eq:factored-moment)

    m  rows     rows of the matrix     [-]
    n  columns  columns of the matrix  [-]

    Holds for: matrices; a vector keeps its whole moment. Of an Adam state it is (m + n)/(m n).
    Source: definition of Adafactor's factored second moment.

    >>> factored_moment_values(4096, 4096)
    8192
    """
    return rows + columns


def lora_params(rows, columns, *, rank):
    r"""Parameters of a low-rank adapter of one frozen matrix.

    $$N_r = d_r\,(m + n)$$  (eq:lora-params)

    m    rows     rows of the frozen matrix     [-]
    n    columns  columns of the frozen matrix  [-]
    d_r  rank     rank of the adapter           [-]

    Holds for: the two factors, trained while the matrix itself keeps neither gradient nor state.
    Source: definition.

    >>> lora_params(4096, 4096, rank=16)
    131072
    """
    return rank * (rows + columns)


# ---- activations


def gpt_layer_bytes(seq_len, micro_batch, *, width, heads, tp, sp, scores):
    r"""Activations that one layer of a GPT keeps for its backward pass, as Megatron counts them.

    $$A = B_\mu\,d\left(\frac{10}{g_s} + \frac{24}{g_t} + \delta_s\,\frac{5\,h S}{d\,g_t}\right)$$  (eq:gpt-activations)

    S      seq_len      tokens of a sequence                                                     [-]
    B_μ/S  micro_batch  sequences of a micro-batch                                               [-]
    d      width        values of a token                                                        [-]
    h      heads        heads                                                                    [-]
    g_t    tp           tensor-parallel ranks                                                    [-]
    g_s    sp           ranks that share the sequence: g_t with sequence parallelism, 1 without  [-]
    δ_s    scores       1 where the scores are kept, 0 with selective recomputation              [-]

    Holds for: 16-bit values, dropout, unfused attention, d = heads x head size, a feed-forward of
    4d without a gate. Full recomputation keeps the layer's input alone, 2 B_μ d.
    Source: korthikanti2022_t5, Table 2 and Equations 1, 2 and 4.

    >>> gpt_layer_bytes(1, 1, width=8, heads=1, tp=1, sp=1, scores=0)
    272.0
    """
    ratio = 10 / sp + 24 / tp + scores * 5 * heads * seq_len / (width * tp)
    return seq_len * micro_batch * width * ratio


def layer_values(width, *, attention_values, ffn_values, tp, sp):
    r"""Values that one layer keeps of a token, counted from the shapes of its matrices.

    $$d_A = \frac{4 d}{g_s} + \frac{d_a + d_g}{g_t}$$  (eq:layer-values)

    d    width             values of a token: both norms' inputs and outputs                        [-]
    d_a  attention_values  queries, keys, values, and what the heads give                           [-]
    d_g  ffn_values        inner width times matrices: gate, up and their product                   [-]
    g_t  tp                tensor-parallel ranks                                                    [-]
    g_s  sp                ranks that share the sequence: g_t with sequence parallelism, 1 without  [-]

    Holds for: every product's and norm's input kept once; activations of a gate computed again
    inside its kernel. No dropout: with it a byte more a value of the two residual branches.
    Source: counting; at d_a = 4d and d_g = 8d it is eq:gpt-activations less its masks and scores.

    >>> layer_values(8, attention_values=32, ffn_values=64, tp=1, sp=1)
    128.0
    """
    return 4 * width / sp + (attention_values + ffn_values) / tp


def score_bytes(seq_len, *, heads, value_bytes, mask_bytes, tp, dropout):
    r"""Bytes that an unfused attention keeps of a token: a row of scores for every head.

    $$A = \frac{h S}{g_t}\,\bigl(b_s + \delta_d\,(b_m + b_s)\bigr)$$  (eq:score-bytes)

    S    seq_len      tokens of a sequence                                   [-]
    h    heads        query heads                                            [-]
    b_s  value_bytes  of a score                                             [B]
    b_m  mask_bytes   of an entry of the mask                                [B]
    g_t  tp           tensor-parallel ranks                                  [-]
    δ_d  dropout      1 where scores are dropped at random: mask and result  [-]

    Holds for: whole rows, as causal kernels of the time kept too.
    Source: korthikanti2022_t5, section 4.1: 5 S h at 2 bytes with dropout.

    >>> score_bytes(10, heads=2, value_bytes=2, mask_bytes=1, tp=1, dropout=1)
    100.0
    """
    return heads * seq_len / tp * (value_bytes + dropout * (mask_bytes + value_bytes))


def fused_attention_bytes(*, heads, tp, sum_bytes):
    r"""Bytes that a fused attention keeps of a token beside its inputs and output.

    $$A = \frac{h\,b_e}{g_t}$$  (eq:fused-attention-bytes)

    h    heads      query heads                        [-]
    g_t  tp         tensor-parallel ranks              [-]
    b_e  sum_bytes  of a log-sum-exp, 4 as it is fp32  [B]

    Holds for: one log-sum-exp for each head and token, from which scores are made again.
    Source: counting; an online softmax keeps its normaliser alone.

    >>> fused_attention_bytes(heads=32, tp=8, sum_bytes=4)
    16.0
    """
    return heads * sum_bytes / tp


def mixture_values(width, *, experts, copies, hidden_values, tp, sp):
    r"""Values that a mixture of experts keeps of a token in place of a plain feed-forward.

    $$d_A = \frac{2\,E_k d + 2\,E}{g_s} + \frac{E_k\,d_g}{g_t}$$  (eq:mixture-values)

    d    width          values of a token                                      [-]
    E    experts        experts of the layer: scores and probabilities, fp32   [-]
    E_k  copies         experts that a token visits, times the imbalance       [-]
    d_g  hidden_values  an expert's inner width times matrices                 [-]
    g_t  tp             tensor-parallel ranks, which cut an expert's matrices  [-]
    g_s  sp             ranks that share the sequence                          [-]

    Holds for: each copy's input and output kept, the output for the gradient of its weight.
    An imbalance above 1 is the share of the busiest rank over the mean. Source: counting.

    >>> mixture_values(8, experts=16, copies=2, hidden_values=24, tp=1, sp=1)
    112.0
    """
    return (2 * copies * width + 2 * experts) / sp + copies * hidden_values / tp


def logits_bytes(tokens, vocab, *, bytes_per_logit, parts, tp):
    r"""Bytes of logits and loss, on the stage that holds the output head.

    $$A = \frac{B_\mu\,V}{n_l\,g_t}\,b_l$$  (eq:logits-bytes)

    B_μ  tokens           tokens of a micro-batch on the chip                     [-]
    V    vocab            vocabulary                                              [-]
    b_l  bytes_per_logit  over all copies alive at once                           [B]
    n_l  parts            parts of the tokens whose loss is made one by one       [-]
    g_t  tp               tensor-parallel ranks, which share the vocabulary       [-]

    Holds for: one micro-batch at a time. b_l = 4 counts the fp32 logits alone, as korthikanti2022_t5;
    10 is a 16-bit logit, its fp32 copy and that one's gradient; an unfused loss keeps more. A loss in
    parts lets go of each part's logits when it has their gradients.
    Source: korthikanti2022_t5, section 4.3; b_l by counting; hsu2024liger for parts.

    >>> logits_bytes(2, 100, bytes_per_logit=10, parts=1, tp=4)
    500.0
    """
    return tokens * vocab / (parts * tp) * bytes_per_logit


# ---- micro-batches in flight


def in_flight_gpipe(micro_batches):
    r"""Micro-batches whose activations a stage holds when all go forward before any goes back.

    $$\mu_f = \mu$$  (eq:in-flight-gpipe)

    μ  micro_batches  micro-batches of a step  [-]

    Holds for: every stage. Source: definition of GPipe's schedule.

    >>> in_flight_gpipe(32)
    32
    """
    return micro_batches


def in_flight_1f1b(micro_batches, *, stages, stage):
    r"""Micro-batches whose activations a stage holds under one-forward-one-backward.

    $$\mu_f = \min(\mu,\ p - i)$$  (eq:in-flight-1f1b)

    μ  micro_batches  micro-batches of a step          [-]
    p  stages         stages of the pipeline           [-]
    i  stage          this stage, the first of them 0  [-]

    Holds for: equal stages; p on the first stage, so that its layers hold ℓ of the model's layers.
    Source: korthikanti2022_t5, section 4.2.3; dualpipe-readme, "1F1B".

    >>> int(in_flight_1f1b(32, stages=8, stage=0)), int(in_flight_1f1b(4, stages=8, stage=0))
    (8, 4)
    """
    return np.minimum(micro_batches, stages - stage)


def in_flight_interleaved(micro_batches, *, stages, stage, chunks):
    r"""Micro-batches' worth of activations that a chip holds under the interleaved schedule.

    $$\mu_f = \min\left(\mu,\ p + \frac{p - 1 - 2i}{v}\right)$$  (eq:in-flight-interleaved)

    μ  micro_batches  micro-batches of a step                    [-]
    p  stages         chips of the pipeline                      [-]
    i  stage          this chip, the first of them 0             [-]
    v  chunks         chunks of layers on each chip, at least 2  [-]

    Holds for: μ that p divides; counted in all of the chip's layers. On the first chip it is
    p (1 + (p-1)/(p v)).
    Source: korthikanti2022_t5, section 4.2.3, for i = 0; counting the forward chunks, 2(p-i-1) +
    (v-1)p, that come before the first backward one, for the others.

    >>> float(in_flight_interleaved(64, stages=8, stage=0, chunks=2))
    11.5
    """
    return np.minimum(micro_batches, stages + (stages - 1 - 2 * stage) / chunks)


def in_flight_zero_bubble(micro_batches, *, stages, bound):
    r"""Micro-batches whose activations a stage holds when weight gradients are put off.

    $$\mu_f = \min(\mu,\ \kappa\,p)$$  (eq:in-flight-zero-bubble)

    μ  micro_batches  micro-batches of a step                                [-]
    p  stages         stages of the pipeline                                 [-]
    κ  bound          bound of the schedule: 1 for ZB1P and ZBV, 2 for ZB2P  [-]

    Holds for: every stage, since a stage that would hold less fills up with work put off.
    Source: zero-bubble-readme, "Activation Memory".

    >>> int(in_flight_zero_bubble(64, stages=8, bound=2))
    16
    """
    return np.minimum(micro_batches, bound * stages)


def in_flight_bidirectional(micro_batches, *, stages):
    r"""Micro-batches whose activations a chip holds when they enter from both ends.

    $$\mu_f = \min(\mu,\ p + 1)$$  (eq:in-flight-bidirectional)

    μ  micro_batches  micro-batches of a step  [-]
    p  stages         chips of the pipeline    [-]

    Holds for: DualPipe; each chip holds the weights of two stages.
    Source: dualpipe-readme, "Activation" and "Parameter".

    >>> int(in_flight_bidirectional(20, stages=8))
    9
    """
    return np.minimum(micro_batches, stages + 1)


# ---- what is not a tensor of the model


def gathered_bytes(params, *, weight_bytes, gradient_bytes):
    r"""Bytes of sharded parameters while they are whole: weights in use, gradients not yet cut.

    $$M = N_g\,(b_w + b_g)$$  (eq:gathered-bytes)

    N_g  params          parameters that are whole at once    [-]
    b_w  weight_bytes    of a weight in the products' format  [B]
    b_g  gradient_bytes  of a gradient as it is summed        [B]

    Holds for: ZeRO 3. How many layers are whole is the schedule's choice: one and the next, or, with
    a pipeline that gathers once a step, all of the stage. Source: counting.

    >>> gathered_bytes(1e9, weight_bytes=2, gradient_bytes=4)
    6000000000.0
    """
    return params * (weight_bytes + gradient_bytes)


def reserved_bytes(used_bytes, *, fragmentation, overhead_bytes):
    r"""Bytes that a chip reports in use, from those that tensors take.

    $$M = M_u\,(1 + \phi_f) + M_0$$  (eq:reserved-bytes)

    M_u  used_bytes      bytes of tensors                            [B]
    φ_f  fragmentation   share that the allocator holds beyond them  [-]
    M_0  overhead_bytes  context, kernels, communication library     [B]

    Holds for: an estimate; φ_f = M_0 = 0 is the bound from below. Source: definition.

    >>> reserved_bytes(10e9, fragmentation=0.25, overhead_bytes=1e9)
    13500000000.0
    """
    return used_bytes * (1 + fragmentation) + overhead_bytes


def hiding_bytes_per_s(moved_bytes, *, duration_s):
    r"""Host bandwidth that hides the movement of what is offloaded.

    $$W = \frac{Q}{T}$$  (eq:offload-bandwidth)

    Q  moved_bytes  bytes that leave the chip, or come back  [B]
    T  duration_s   computation that goes on meanwhile       [s]

    Holds for: one direction; where out and back share a link, count both. Source: definition.

    >>> hiding_bytes_per_s(16e9, duration_s=0.5)
    32000000000.0
    """
    return moved_bytes / duration_s


def hiding_tokens(sent_bytes, *, flop_per_s, bytes_per_s):
    r"""Tokens of a step, on all chips, whose computing hides what is sent to the host, and back, for each parameter.

    $$B = \frac{b_x\,R}{6\,W}$$  (eq:offload-tokens)

    b_x  sent_bytes   bytes sent for each parameter in a step, one direction  [B]
    R    flop_per_s   rate of arithmetic that a chip reaches                  [FLOP/s]
    W    bytes_per_s  bandwidth between a chip and its host, one direction    [B/s]

    A chip that has the g-th part of N parameters sends b_x N/g bytes, and does the g-th part of 6 N B operations: sizes
    and chips cancel.

    Holds for: one chip, or states dealt out evenly; a host that keeps up.
    Source: counting.

    >>> hiding_tokens(2, flop_per_s=4.2e14, bytes_per_s=5e10)
    2800.0
    """
    return sent_bytes * flop_per_s / (6 * bytes_per_s)


def activation_bytes_per_s(kept_bytes, *, layer_params, flop_per_s):
    r"""Bandwidth to the host that takes a layer's activations away while it is computed forwards.

    $$W = \frac{A\,R}{2\,N_\ell}$$  (eq:offload-activations)

    A       kept_bytes    activations kept for the backward pass, of a token and layer  [B]
    N_\ell  layer_params  parameters of a layer                                         [-]
    R       flop_per_s    rate of arithmetic that is reached                            [FLOP/s]

    Of the same token the layer does 2 N_ℓ operations. A grows with the width, N_ℓ with its square: wide models hide it.

    Holds for: attention left out, which gives more time; backwards there is twice as much.
    Source: counting.

    >>> activation_bytes_per_s(34 * 4096, layer_params=12 * 4096**2, flop_per_s=4.2e14) / 1e9
    145.263671875
    """
    return kept_bytes * flop_per_s / (2 * layer_params)


# ---- inference


def kv_cache_bytes(tokens, *, layers, kv_heads, head_values, value_bytes):
    r"""Bytes of keys and values of past tokens.

    $$M = 2\,S_c\,\ell\,h_k\,d_h\,b$$  (eq:kv-cache)

    S_c  tokens       tokens in the cache, of all sequences  [-]
    ℓ    layers       layers with attention                  [-]
    h_k  kv_heads     key-value heads                        [-]
    d_h  head_values  values of a head                       [-]
    b    value_bytes  size of one value                      [B]

    Holds for: multi-head (h_k = h), grouped-query and multi-query (h_k = 1) attention.
    Source: deepseekv2-kv-cache; sizes as printed by a server in llamacpp-kv-sizes.

    >>> kv_cache_bytes(1, layers=32, kv_heads=8, head_values=128, value_bytes=2)
    131072
    """
    return 2 * tokens * layers * kv_heads * head_values * value_bytes


def latent_cache_bytes(tokens, *, layers, latent_values, rope_values, value_bytes):
    r"""Bytes of the latents of past tokens, from which keys and values are made again.

    $$M = S_c\,\ell\,(d_c + d_p)\,b$$  (eq:latent-cache)

    S_c  tokens         tokens in the cache, of all sequences              [-]
    ℓ    layers         layers                                             [-]
    d_c  latent_values  values of the latent: the rank of keys and values  [-]
    d_p  rope_values    values of a key with position, of all heads        [-]
    b    value_bytes    size of one value                                  [B]

    Holds for: latent attention (MLA); tensor parallelism does not cut it.
    Source: deepseekv2-kv-cache.

    >>> latent_cache_bytes(1, layers=60, latent_values=512, rope_values=64, value_bytes=2)
    69120
    """
    return tokens * layers * (latent_values + rope_values) * value_bytes


def windowed_tokens(context, *, window):
    r"""Tokens that a layer with a sliding window keeps.

    $$S_c = \min(S,\ S_w)$$  (eq:windowed-tokens)

    S    context  tokens of a sequence  [-]
    S_w  window   tokens of the window  [-]

    Holds for: a cache that forgets what left the window. Source: definition.

    >>> int(windowed_tokens(32768, window=4096))
    4096
    """
    return np.minimum(context, window)


def paged_tokens(context, *, block):
    r"""Tokens' worth of cache that a sequence takes in blocks.

    $$S_c = S_b\left\lceil \frac{S}{S_b} \right\rceil$$  (eq:paged-tokens)

    S    context  tokens of a sequence          [-]
    S_b  block    tokens of a block, 1 or more  [-]

    Holds for: paged caches, whose waste is the empty end of the last block: (S_b - 1)/2 tokens a
    sequence on average. One block of the longest context is a cache that is not paged.
    Source: definition.

    >>> float(paged_tokens(100, block=16))
    112.0
    """
    return block * np.ceil(context / block)


def shared_prefix_tokens(sequences, context, *, prefix):
    r"""Tokens in a cache whose sequences begin alike and keep that beginning once.

    $$S_c = S_0 + B\,(S - S_0)$$  (eq:prefix-tokens)

    B    sequences  sequences in the cache                   [-]
    S    context    tokens of a sequence                     [-]
    S_0  prefix     tokens of the beginning that they share  [-]

    Holds for: S_0 <= S, whole blocks. Source: counting.

    >>> shared_prefix_tokens(10, 1000, prefix=800)
    2800
    """
    return prefix + sequences * (context - prefix)


def recurrent_state_bytes(sequences, *, layers, state_values, value_bytes):
    r"""Bytes of the states of recurrent layers, which do not grow with the context.

    $$M = B\,\ell_s\,d_s\,b$$  (eq:recurrent-state)

    B    sequences     sequences at once            [-]
    ℓ_s  layers        layers with a recurrence     [-]
    d_s  state_values  values of one layer's state  [-]
    b    value_bytes   size of one value            [B]

    Holds for: state-space layers and linear attention. Source: definition.

    >>> recurrent_state_bytes(4, layers=10, state_values=1000, value_bytes=4)
    160000
    """
    return sequences * layers * state_values * value_bytes
