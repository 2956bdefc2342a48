r"""Kernel time: from a shape and a chip to the seconds that a real kernel takes.

The datasheet's roofline is met by no kernel. Between the two stand a clock that sags, tiles that do
not divide the matrix, cores without a tile, a memory that reaches part of its rate, and the time to
get started. Each has a law in `tiling` or here; what is not in a datasheet is in `data/kernel_constants.csv`:
three or four numbers per family of chips, fitted by `measured.fits.kernels` on sources of the role `fit`.
"""

from dataclasses import dataclass, fields, replace
from functools import cache

import numpy as np

from bottlenecks import data
from bottlenecks.facts.chips import Chip, chips
from bottlenecks.facts.doors import MOST, PLAIN, numbers, one_of, rate, record, seen_by, settle, switch
from bottlenecks.facts.formats import bytes_per_value
from bottlenecks.laws import power, tiling

# Sides of a tile of the result (nvidia-matmul-guide lists them); then: into how many parts the
# depth is cut when there are too few tiles for the cores.
TILES = ((256, 128), (128, 256), (128, 128), (128, 64), (64, 128), (64, 64))
SPLITS = (1, 4)
ARRAY = 128  # side of the multiplier array of a chip without cores to deal tiles to; TPU v6e's is 256
FEW_ROWS = 8  # most rows of a product that a matrix-vector kernel takes
UNPACK = 8  # instructions to widen a weight: mask, shift, convert, scale, and indices
QUERY_BLOCK = 128  # queries of a tile of attention
DECODING = 16  # most queries for which attention deals keys, not queries, to the cores
OLDER_PER_CLOCK = 2048  # 16-bit FLOP per clock of a core that runs the product instructions of Ampere
EXP_PER_CLOCK = 16  # exponentials per clock of a GPU core (cuda-guide)
VECTOR_PER_SCORE = 3  # vector instructions for a score of fused attention: scale and subtract, compare, add
WORKED = ("activation", "norm", "rotary")  # kinds of elementwise kernels beside "add"
FUSED = ("fused", "fused, overlapped", "fused, first")
IMPLEMENTATIONS = (*FUSED, "unfused")
FIRST_FUSED = 2.0  # time of FlashAttention-1 over that of FlashAttention-2: dao2023flashattention2, abstract
# Passes of unfused attention over its scores, and how many more a causal mask makes, without and with the backward
# pass: `attention_s` counts them.
UNFUSED_PASSES = {False: 6, True: 15}
UNFUSED_MASK_PASSES = {False: 2, True: 4}
ALIGNED_BYTES = 16  # of a row, for the matrix units: nvidia-matmul-guide, "Tensor Core requirements"


@dataclass(frozen=True, kw_only=True, eq=False)
class Device:
    """A chip as kernels find it, in one format. Base SI; any number may be an array, to sweep it."""

    name: str
    format: str
    family: str
    matmul_flop_per_s: float  # all cores, in the main loop of a large tile
    memory_bytes_per_s: float
    cache_bytes_per_s: float  # from the last shared cache to all cores, effective: neighbours may share what is read
    cache_bytes: float  # size of that cache
    vector_per_s: float  # instructions on single values, all cores
    exp_per_s: float
    cores: float  # that tiles are dealt to; 1: one large array, which takes what comes
    fixed_s: float  # of a product or attention on the device: first loads, last stores, drain; not the host's launch
    light_s: float  # start and end of an elementwise kernel, which has less to set up than a product
    tile_s: float  # a core's time between two tiles
    older_flop_per_s: float  # of products, for kernels written in Ampere's instructions
    core_clocks_per_s: float  # cores times clock: what elementwise arithmetic goes with
    link_bytes_per_s: float  # to another chip, one direction; NaN where there is none
    host_bytes_per_s: float  # to the host's memory; NaN where it is not known
    constants: dict
    array: float = 1.0  # side of the one large array, which rows and heads fill up to its multiples
    assumed: tuple = ()  # what is not known of this very chip

    def __post_init__(self):
        for name in _rates(type(self)):
            value = getattr(self, name)
            if type(value) not in PLAIN or not value > 0:
                zero, unknown = name in MAY_BE_ZERO, name in MAY_BE_UNKNOWN
                settle(self, name, rate(f"{type(self).__name__}.{name}", value, zero_allowed=zero, unknown=unknown))

    @property
    def bytes_per_value(self):
        """Bytes of one value of `format`."""
        return bytes_per_value(self.format)


MAY_BE_ZERO = {
    "fixed_s",
    "light_s",
    "tile_s",
    "cache_bytes",
    "cast_bytes",
    "waits",
    "host_waits",
    "last_s",
    "routing_s",
}
MAY_BE_UNKNOWN = {"link_bytes_per_s", "host_bytes_per_s", "tdp_watts"}  # NaN


@cache
def _rates(kind):
    """Fields of a record that are numbers, of which any may be an array."""
    return tuple(f.name for f in fields(kind) if f.type is float)


def device(chip, format="bf16", *, constants=None):
    """`chip` with its family's constants: what its kernels reach, not what its datasheet says."""
    record("chip", chip, Chip, "chip(name)")
    known = family_constants(chip.family) if constants is None else constants
    clock_hz, assumed = _clock_hz(chip)
    gpu = chip.kind.startswith(("GPU", "APU")) and chip.cores is not None
    core_clocks = (chip.cores or 1) * clock_hz
    single = chip.peaks["fp32"].flop_per_s / 2 if "fp32" in chip.peaks else 128 * core_clocks
    l2 = next((v for v in chip.levels if v.name in ("L2", "LLC")), None)
    host = next((v.bytes_per_s for v in chip.levels if v.name == "host link"), None)
    link = chip.link_bytes_per_s
    size = bytes_per_value(format)
    reached = chip.peak_flop_per_s(format) * known[f"matmul_{width(format)}"]
    if chip.tdp_watts is not None and np.isfinite(known.get("flop_per_joule_16", np.inf)):
        per_joule = known["flop_per_joule_16"] * 2 / size  # a board of few watts sustains less (eq:power-cap)
        reached = reached * power.sustained_share(reached, flop_per_joule=per_joule, watts=chip.tdp_watts)
    older = core_clocks * OLDER_PER_CLOCK * 2 / size * known["matmul_16"]
    return Device(
        name=chip.name,
        format=format,
        family=chip.family,
        constants=known,
        matmul_flop_per_s=reached,
        older_flop_per_s=np.minimum(reached, older) if gpu else reached,
        memory_bytes_per_s=chip.memory_bytes_per_s * known["stream"],
        cache_bytes_per_s=core_clocks * known["effective_cache_bytes_per_clock"] * _sharing(chip.family)
        if gpu
        else np.inf,
        cache_bytes=(l2.bytes or 0.0) if l2 else 0.0,
        core_clocks_per_s=core_clocks if gpu else np.inf,
        link_bytes_per_s=(np.nan if link is None else link) * known["link"],
        host_bytes_per_s=(np.nan if host is None else host) * known["link"],
        vector_per_s=single,
        exp_per_s=core_clocks * EXP_PER_CLOCK if gpu else single / 4,
        cores=chip.cores if gpu else 1.0,
        fixed_s=known["fixed_s"],
        light_s=known["light_s"],
        tile_s=known["tile_s"] if gpu else 0.0,
        array=1.0 if gpu else _side(chip),
        assumed=(*assumed, *inherited(chip.family, format)) if constants is None else assumed,
    )


def _side(chip):
    """Side of a TPU's multiplier arrays as its datasheet has it, 1 of a CPU; `ARRAY` where there is none."""
    if chip.kind == "CPU":
        return 1.0
    kind, _, side = (chip.facts.get("core_unit") or "").partition(" ")
    return float(side.split("x")[0]) if kind == "MXU" else float(ARRAY)


def width(format):
    """Which constant holds a format's fraction of the peak: "32", "16" or "8"."""
    if format in ("fp32", "fp64"):
        return "32"
    return "16" if bytes_per_value(format) >= 2 else "8"


def routing_s(constants, format):
    """Start of a layer of experts in serving, by the width of its products: narrow ones make their operands first."""
    return constants.get(f"routing_{'8' if bytes_per_value(format) < 2 else '16'}_s", 0.0)


def ideal(chip, format="bf16"):
    """`chip` by its datasheet: full rates, no time to start, no cache in the way."""
    perfect = dict.fromkeys(family_constants(chip.family), 1.0) | {"flop_per_joule_16": np.inf}
    return replace(
        device(chip, format, constants=perfect),
        cache_bytes_per_s=np.inf,
        cache_bytes=0.0,
        core_clocks_per_s=np.inf,
        cores=1.0,
        fixed_s=0.0,
        light_s=0.0,
        tile_s=0.0,
        array=1.0,
    )


def stages(chip, format="bf16", *, memory_first=False):
    """From a perfect chip to the real one, one mechanism more at a time: {mechanism: Device}.

    The first has arithmetic alone, so its time is FLOP over peak; the last is `device`. A time on
    each is never less than on the one before. What a mechanism adds depends on those before it:
    of two that overlap, the later seems cheap, and `memory_first` puts the memory second. Tiles
    come with their starts: were these free, ever smaller tiles would fill every wave.
    """
    real = device(chip, format)
    on = replace(
        ideal(chip, format),
        memory_bytes_per_s=np.inf,
        constants=real.constants,
        link_bytes_per_s=real.link_bytes_per_s,
        host_bytes_per_s=real.host_bytes_per_s,
    )
    rates = "matmul_flop_per_s older_flop_per_s vector_per_s exp_per_s core_clocks_per_s"
    order = [
        ("rate sustained", rates),
        ("tiles and waves", "cores tile_s array"),
        ("operands from the cache", "cache_bytes_per_s cache_bytes"),
        ("memory not hidden", "memory_bytes_per_s"),
        ("start and end", "fixed_s light_s assumed"),
    ]
    if memory_first:
        order.insert(0, order.pop(3))
    found = {"arithmetic at the peak": on}
    for name, added in order:
        on = replace(on, **{field: getattr(real, field) for field in added.split()})
        found[name] = on
    return found


def _sharing(family):
    """Cores that read the operands of a product together, against one that reads them alone."""
    row = next((r for r in data.rows("families") if r["family"] == family), {})
    return float(row.get("sharing") or 1)


def _clock_hz(chip):
    """The clock of a chip; where its maker prints none, that of its family."""
    if chip.clock_hz is not None:
        return chip.clock_hz, ()
    kin = [c.clock_hz for c in chips().values() if c.family == chip.family and c.clock_hz]
    if kin:
        return float(np.median(kin)), (f"clock of the family {chip.family}",)
    return 1.5e9, ("a clock of 1.5 GHz",)


RESOURCES = {  # who owns a kernel's second, for `shares`
    "compute": "matmul_flop_per_s older_flop_per_s vector_per_s exp_per_s core_clocks_per_s",
    "memory": "memory_bytes_per_s",
    "cache": "cache_bytes_per_s",
    "network": "link_bytes_per_s host_bytes_per_s",
    "latency": "/fixed_s light_s tile_s",
}


# ---- constants


@cache
def constants_table():
    """The fitted constants: (family, constant) -> row of the file; family 'any' holds for all."""
    return {(row["family"], row["constant"]): row for row in data.rows("kernel_constants")}


@cache
def family_constants(family):
    """Constant -> value for a family of chips, from it or from the family it is like."""
    names = dict.fromkeys(name for _, name in constants_table())
    known = {n: float(row["value"]) for n in names if (row := constants_table().get((_home(family, n), n)))}
    if _narrow_from_wide(family):
        known["matmul_8"] = known["matmul_16"]
    return known


def _narrow_from_wide(family):
    """Whether a family's own 16-bit fraction is nearer than other makers' 8-bit ones."""
    return _home(family, "matmul_8") == "any" != _home(family, "matmul_16")


def inherited(family, format):
    """What a family of chips takes from others, as words: ('stream of Ampere', ...)."""
    product = f"matmul_{width(format)}"
    if product == "matmul_8" and _narrow_from_wide(family):
        product = "matmul_16"
    homes = {n: _home(family, n) for n in (product, "stream", "fixed_s")}
    return tuple(
        f"{name} of {'all families' if home == 'any' else home}" for name, home in homes.items() if home != family
    )


def _home(family, name):
    """The family in whose row a constant stands: the family itself, or what it is like, or 'any'."""
    return next((f for f in lineage(family) if (f, name) in constants_table()), "any")


def swept(family):
    """Was a family itself measured, its products and its stream? Else its constants are those of other families."""
    return all((family, name) in constants_table() for name in ("matmul_16", "stream"))


def lineage(family):
    """A family, the one that it is like, the one that this is like, ..."""
    while family:
        yield family
        family = like().get(family)


@cache
def like():
    """Family -> the family whose constants it takes where it has none."""
    return {row["family"]: row["like"] for row in data.rows("families")}


# ---- kernels


def matmul_s(m, k, n, *, device, groups=1, weight_bytes=None, warm=False):
    r"""Seconds of a matrix product (m, k) @ (k, n), or of `groups` of them in one kernel.

    $$T = T_0 + \min_{t_m, t_n, t_k} \left[\left(w\,(T_t + T_n)\right)^4 + \left(\frac{Q}{W}\right)^4\right]^{1/4}$$  (eq:matmul-time)

    T_0  device.fixed_s             time to start and to end                         [s]
    w    (eq:waves)                 waves of eq:tiles tiles over the cores           [-]
    T_t  (eq:tile-time)             one tile of depth t_k, the depth over the parts  [s]
    T_n  device.tile_s              between two tiles of a core                      [s]
    Q    (eq:matmul-bytes)          least traffic, and the parts' sums               [B]
    W    device.memory_bytes_per_s  bandwidth that is reached                        [B/s]

    Cutting the depth in k / t_k parts makes as many times the tiles, each writing sums of 32 bits that are read again.
    The library's choice of tile is taken to be the best one.

    Holds for: dense products on GPUs by a tuned library; on a chip of one large array (cores = 1)
    the shape is rounded up to the array instead. `weight_bytes`: of a stored weight, where weights
    are kept narrower than they are multiplied. `warm`: timed alone, over and over, so that operands
    which fit the last cache are found there (eq:warm); in a layer, others have pushed them out.
    Source: the tiles of nvidia-matmul-guide; the rest is built from the laws that it names.
    """
    record("device", device, Device, "device(chip)")
    m, k, n, groups = numbers(m=m, k=k, n=n, groups=groups)
    m, k, n = (1.0 * v for v in (m, k, n))
    b = device.bytes_per_value
    w = b if weight_bytes is None else numbers(weight_bytes=weight_bytes)[0]
    out = max(b, 2)  # narrow products are written in 16 bits
    moved = groups * (b * m * k + w * k * n + out * m * n)
    found = still_cached(moved, cache_bytes=device.cache_bytes) if warm else 0.0
    memory_s = moved * ((1 - found) / device.memory_bytes_per_s + found / device.cache_bytes_per_s)
    if np.all(device.cores == 1):
        m, k, n = (np.ceil(v / device.array) * device.array for v in (m, k, n))
        busy_s = 2 * groups * m * k * n / device.matmul_flop_per_s
        return device.fixed_s + tiling.overlapped_s(busy_s, memory_s)
    part_s = 8 * groups * m * n / device.memory_bytes_per_s  # a sum of 32 bits, written and read
    best = np.inf
    for rows, columns in TILES:
        tiles = groups * tiling.tiles(m, n, tile_rows=rows, tile_columns=columns)
        whole_s = tiling.tile_s(
            k,
            tile_rows=rows,
            tile_columns=columns,
            value_bytes=b,
            core_flop_per_s=device.matmul_flop_per_s / device.cores,
            core_bytes_per_s=device.cache_bytes_per_s / device.cores,
        )
        for split in SPLITS:
            waves = tiling.waves(tiles * split, cores=device.cores)
            busy_s = waves * (whole_s / split + device.tile_s) + (split > 1) * device.tile_s
            traffic_s = memory_s + part_s * split if split > 1 else memory_s
            best = np.minimum(best, np.hypot(np.square(busy_s), np.square(traffic_s)))
    return device.fixed_s + np.sqrt(best)


def still_cached(moved_bytes, *, cache_bytes):
    r"""Share of a kernel's operands that a cache still holds when the kernel is run again.

    $$\phi_c = \min\left(1,\ \max\left(0,\ \frac{3}{2} - \frac{Q}{C}\right)\right)$$  (eq:warm)

    Q  moved_bytes  operands and result  [B]
    C  cache_bytes  size of the cache    [B]

    Holds for: one kernel in a loop. All of it up to half of the cache, nothing from one and a half: what comes last
    pushes out what is needed first. Source: a cache that replaces the least recently used would drop from 1 to 0 at Q = C; real ones
    hash their addresses and lose some before and keep some after. The slope is a choice.

    >>> float(still_cached(4.0, cache_bytes=4.0))
    0.5
    """
    return np.clip(1.5 - moved_bytes / np.maximum(cache_bytes, 1e-9), 0, 1)


def few_rows_s(m, k, n, *, groups, weight_bytes, device):
    r"""Seconds of a product of few rows as a matrix-vector kernel: no tile is filled for nothing.

    $$T = T_0 + \left[\left(\frac{m k n}{\nu_v}\right)^4 + \left(\frac{b_w\,k n}{W}\right)^4\right]^{1/4}$$  (eq:few-rows-time)

    T_0  device.fixed_s             time to start and to end                 [s]
    m    -                          rows of the result                       [-]
    k    -                          depth: columns of the left matrix        [-]
    n    -                          columns of the result                    [-]
    ν_v  device.vector_per_s        multiply-adds on single values a second  [1/s]
    b_w  weight_bytes               of a stored weight                       [B]
    W    device.memory_bytes_per_s  bandwidth that is reached                [B/s]

    Holds for: a decode step of up to about eight sequences, on chips whose cores take any work; several weights are read
    for each value of the few rows, whose traffic is left out.
    Source: eq:matmul-flop and eq:matmul-bytes with vector units in place of tiles.
    """
    unpacked = np.where(weight_bytes < device.bytes_per_value, UNPACK, 1)
    busy_s = groups * (m + unpacked) * k * n / device.vector_per_s
    traffic_s = groups * weight_bytes * k * n / device.memory_bytes_per_s
    return device.fixed_s + tiling.overlapped_s(busy_s, traffic_s)


def elementwise_s(moved_bytes, *, device, kind="add"):
    r"""Seconds of a kernel that does a little to each value: norm, activation, addition, copy.

    $$T = T_0 + Q\left(\frac{\phi_c}{W_C} + \frac{1 - \phi_c}{W} + \frac{1}{b_c\,\nu_c}\right), \qquad \phi_c = \min\left(1, \phi_C\,\frac{C}{Q}\right)$$  (eq:elementwise-time)

    T_0  device.light_s             time to start and to end                      [s]
    Q    moved_bytes                least traffic                                 [B]
    φ_c  -                          share found in the last cache                 [-]
    φ_C  (constants)                share of the cache that still holds it        [-]
    C    device.cache_bytes         size of the last cache                        [B]
    W_C  device.cache_bytes_per_s   bandwidth of the last cache                   [B/s]
    W    device.memory_bytes_per_s  bandwidth of the memory that is reached       [B/s]
    b_c  (constants)                bytes that a core works off a clock, by kind  [B]
    ν_c  device.core_clocks_per_s   cores times clock                             [1/s]

    An addition or a copy has no third term: its arithmetic hides. A norm reads its row, waits for
    the sum, and reads on: reading and working take turns, so their times add.

    Holds for: kernels that follow the one which wrote their input; b_c as in the first serving
    kernels, of 2023. Source: eq:no-overlap, with two levels of memory.
    """
    record("device", device, Device, "device(chip)")
    (moved_bytes,) = numbers(most=MOST, zero=("moved_bytes",), moved_bytes=moved_bytes)
    known = device.constants
    one_of("kind", kind, ("add", *WORKED))
    found = np.minimum(1, known["resident"] * device.cache_bytes / np.maximum(moved_bytes, 1.0))
    per_byte_s = found / device.cache_bytes_per_s + (1 - found) / device.memory_bytes_per_s
    if kind != "add":
        per_byte_s = per_byte_s + 1 / (known[f"worked_{kind}"] * device.core_clocks_per_s)
    return device.light_s + moved_bytes * per_byte_s


def attention_s(
    queries,
    keys,
    *,
    batch,
    heads,
    kv_heads,
    head_values,
    device,
    v_head_values=None,
    shared_values=False,
    causal=True,
    window=np.inf,
    gathered=False,
    pooled=1,
    backward=False,
    implementation=None,
    cache_bytes=None,
):
    r"""Seconds of attention over `keys` by `queries` of each of `batch` sequences.

    $$T = T_0 + \left[\left(\frac{\chi\,h\,(2 d_h + 2 d_v)}{P} + \frac{\chi\,h}{\nu_e} + \frac{3\,\chi\,h}{\nu_v} + T_n\right)^4
      + \left(\frac{Q}{W}\right)^4\right]^{1/4}$$  (eq:attention-time)

    χ    (eq:attention-pairs)       pairs, whole blocks of queries and keys                [-]
    h    batch x heads              heads of all sequences                                 [-]
    d_h  head_values                values of a query and of a key                         [-]
    d_v  v_head_values              values of a value                                      [-]
    P    device.matmul_flop_per_s   rate of the products                                   [FLOP/s]
    ν_e  device.exp_per_s           exponentials a second                                  [1/s]
    ν_v  device.vector_per_s        instructions on single values a second, 3 for a score  [1/s]
    T_n  device.tile_s              starts of the tiles, half of the longest tile          [s]
    Q    -                          queries, keys, values and results, once                [B]
    W    device.memory_bytes_per_s  bandwidth that is reached                              [B/s]

    A tile is a block of up to 128 queries of a head, on one core, over all keys that they see. The longest is a full block
    at the end of the sequence; a last block that is not full makes it no shorter. With fewer tiles than cores the kernel
    takes as long as the longest.

    "fused" (FlashAttention-2) keeps the scores on the chip; products and softmax take turns. It fills one large array
    (cores = 1) with a head at a time: 64 values take as long as its side of 128. "fused, overlapped" (FlashAttention-3,
    cuDNN 9) hides the forward softmax beside the products. "fused, first" (FlashAttention-1, xformers, Triton) takes
    twice the time of "fused". "unfused" writes the scores out. Passes over them, forward: written; softmax and dropout, read and written each;
    read. Backward: read for the values' gradient; written; dropout, 2; softmax, 3; read for the queries' and for the
    keys' gradient. A mask is 2 more either way.
    With `backward` the time is that of the forward and the backward pass together: five products
    in place of two, the scores made again, and kernels before and after it that stream.

    `shared_values`: values are columns of the keys (latent attention, absorbed). `cache_bytes`: of a kept value, where
    it is narrower than multiplied. `gathered`: each query reads the at most `window` keys that it alone has chosen.
    `pooled`: tokens behind one key.

    Holds for: 16-bit formats, GPUs; one query (decoding) splits its keys over all cores. Source: counting;
    dao2023flashattention2, shah2024flashattention3 for what overlaps.
    """
    record("device", device, Device, "device(chip)")
    sizes = {"queries": queries, "keys": keys, "batch": batch, "heads": heads, "kv_heads": kv_heads}
    queries, keys, batch, heads, kv_heads, d, pooled = numbers(**sizes, head_values=head_values, pooled=pooled)
    dv = d if v_head_values is None else numbers(v_head_values=v_head_values)[0]
    seen_by(queries, keys, switch("causal", causal), window)
    b = device.bytes_per_value
    kind = one_of("implementation", implementation or default_implementation(device), IMPLEMENTATIONS)
    sequences = batch * heads
    whole = np.minimum(QUERY_BLOCK, queries)
    edge = np.where(causal, (whole - 1) / 2, 0)  # of a block, computed for nothing
    every = tiling.attention_pairs(queries, keys, causal=causal) + queries * edge
    near = tiling.attention_pairs(queries, keys, causal=causal, window=window)
    near = near + queries * (edge + whole / 2)
    computed = np.minimum(np.minimum(near, every), np.asarray(queries, dtype=float) * keys) / pooled
    longest = whole * np.minimum(keys, window + edge + whole / 2) / pooled  # pairs of the tile that sees most keys
    seen = np.minimum(keys, window + queries - 1)  # keys that any query sees
    if switch("gathered", gathered):
        seen = tiling.attention_pairs(queries, keys, causal=causal, window=window)
    seen = seen / pooled
    kept = d if shared_values else d + dv  # of a key and its value
    c = b if cache_bytes is None else cache_bytes
    read = batch * (b * heads * queries * (d + dv) + c * kv_heads * seen * kept)
    newest = kind in ("fused, overlapped", "unfused")
    rate = device.matmul_flop_per_s if newest else device.older_flop_per_s
    filled, filled_v = (np.ceil(v / device.array) * device.array for v in (d, dv))
    forward = {"products": 2 * filled + 2 * filled_v, "overlapped": kind == "fused, overlapped"}
    gradient = {"products": 6 * filled + 4 * filled_v, "overlapped": False}
    if kind == "unfused":
        passes = UNFUSED_PASSES[backward] + np.where(causal, UNFUSED_MASK_PASSES[backward], 0)
        scores = sequences * np.asarray(queries, dtype=float) * keys / pooled
        products = 2 * d + 2 * dv + (6 * d + 4 * dv if backward else 0)
        starts = (8 if backward else 3) * device.fixed_s
        rate = batched_flop_per_s(d, device=device)
        return starts + scores * (products / rate + passes * b / device.memory_bytes_per_s)
    total = 0.0
    for part in (forward, gradient) if backward else (forward,):
        arithmetic_s = part["products"] / rate  # of a pair
        softmax_s = 1 / device.exp_per_s + VECTOR_PER_SCORE / device.vector_per_s
        together = tiling.overlapped_s(arithmetic_s, softmax_s)
        pair_s = together if part["overlapped"] else arithmetic_s + softmax_s
        busy_s = computed * sequences * pair_s
        longest_s = longest * pair_s * device.cores  # a tile has one core, the rate is that of all
        tiles = sequences * np.ceil(queries / whole)
        alone = queries <= DECODING  # decoding: keys are cut until every core has some
        dealt_s = np.where(alone, busy_s, np.maximum(longest_s, busy_s + longest_s / 2))
        starts_s = np.where(alone, 1, tiling.waves(tiles, cores=device.cores)) * device.tile_s
        traffic_s = read * (2 if part is gradient else 1) / device.memory_bytes_per_s
        total = total + device.fixed_s + tiling.overlapped_s(dealt_s + starts_s, traffic_s)
    if backward:  # before: rows of output times gradient; after: query gradients to 16 bits
        streamed = batch * heads * queries * d * (2 * b + 4 + 4 + b)
        total = total + 2 * device.fixed_s + streamed / device.memory_bytes_per_s
    return total * np.where(kind == "fused, first", FIRST_FUSED, 1.0)


def batched_flop_per_s(row_values, *, device):
    r"""Rate of many small products, one for each head, whose matrices have short rows.

    $$P' = \begin{cases} P & b\,d_h \bmod 16 = 0 \\ \min(P, 2 \nu_v) & \text{else} \end{cases}$$  (eq:batched-rate)

    P    device.matmul_flop_per_s  rate of the matrix units       [FLOP/s]
    ν_v  device.vector_per_s       instructions on single values  [1/s]
    d_h  row_values                values of a row: of a head     [-]
    b    device.bytes_per_value    size of one value              [B]

    Matrix units are fed 16 bytes at a time. Where heads lie side by side in one row, and a head is not a multiple of that,
    no head but the first starts where such a load may, and the library's batched kernel takes the vector units. One large
    matrix can be padded; these cannot.

    Holds for: cores with matrix units, and libraries of 2022; fused kernels pad a head on the chip.
    Source: nvidia-matmul-guide, "Tensor Core requirements"; anthony2024codesign has the same drop by
    the largest power of two that divides a head. The fall to the vector units is read off bloom_prequel:
    128 heads of 108 values take 42 % longer than 64 of 216, a thirtieth of the step's operations.
    """
    unaligned = np.not_equal(np.mod(row_values * device.bytes_per_value, ALIGNED_BYTES), 0)
    slow = np.minimum(device.matmul_flop_per_s, 2 * device.vector_per_s)
    return np.where(unaligned & np.not_equal(device.cores, 1), slow, device.matmul_flop_per_s)


def default_implementation(device):
    """What a practitioner gets: overlapped on families whose products are asynchronous."""
    return "fused, overlapped" if "Hopper" in lineage(device.family) else "fused"


# ---- ledgers


def op_s(op, device):
    """Seconds of a row of a ledger (`ops.Op`), all its calls, on a device."""
    if op.kind == "matmul":
        return op.calls * matmul_s(**op.shape, device=device)
    if op.kind == "elementwise":
        return op.calls * elementwise_s(**op.shape, device=device)
    forward_s = attention_s(**op.shape | {"backward": False}, device=device)
    if not op.shape["backward"]:
        return op.calls * forward_s
    return op.calls * (attention_s(**op.shape, device=device) - forward_s)


def ledger_s(rows, device):
    """Seconds of all rows, one kernel after the other."""
    return sum(op_s(op, device) for op in rows)
