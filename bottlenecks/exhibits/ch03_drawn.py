"""A drawing for chapter 03: one layer of a transformer, its matrices to scale."""

import numpy as np

from bottlenecks.exhibits.drawn import INK, Scene, drawing, sheet
from bottlenecks.exhibits.marks import updating
from bottlenecks.exhibits.registry import Control, Exhibit, pick, row, stack
from bottlenecks.exhibits.style import COLOUR, GREY
from bottlenecks.facts.architectures import model
from bottlenecks.facts.units import plain, si

MODELS = ("GPT-3 175B", "Llama-3-8B", "Llama-3-70B", "Qwen3-0.6B")
SHEET = 7.6, 6.8
WEIGHTS, QUERIES, KEYS = "#003F63", COLOUR["highlight"], COLOUR["memory"]
LONGEST, ABREAST = 2.1, 1.95  # most inches of the longest side of a matrix, and of Wq, Wk and Wv side by side
LINE, START, SECOND, TOTAL = 0.5, 1.95, 5.5, 6.4  # columns: the residual line, the first and second matrices, sums
PANEL = 3.58, 4.75, 4.6  # the box of heads: lower, upper and right edges
PER_LINE = 16  # key-value heads side by side


def _layer_table(model_name):
    m = model(model_name)
    queries = m.heads * m.head_values
    matrices = {"Wq": (m.width, queries), "Wk": (m.width, m.kv_width), "Wv": (m.width, m.kv_width)}
    matrices |= {"Wo": (queries, m.width)} | ({"gate": (m.width, m.ffn_width)} if m.ffn_matrices == 3 else {})
    matrices |= {"up": (m.width, m.ffn_width), "down": (m.ffn_width, m.width)}
    inputs, outputs = np.array(list(matrices.values()), dtype=float).T
    return stack(
        matrix={"name": list(matrices), "inputs": inputs, "outputs": outputs, "params": inputs * outputs},
        here={
            "name": m.name,
            "width": m.width,
            "heads": m.heads,
            "kv_heads": m.kv_heads,
            "head_values": m.head_values,
            "attention_params": m.attention_params,
            "ffn_params": m.ffn_params,
        },
    )


def inches_per_value(table):
    """The scale of the sheet: as large as leaves room for the longest side, and for Wq, Wk and Wv abreast."""
    outputs = pick(table, "matrix", "outputs")
    return min(LONGEST / outputs.max(), ABREAST / outputs[:3].sum())


def matrices(table):
    """name -> inputs, outputs, weights, and the height and width on the sheet, in inches."""
    scale = inches_per_value(table)
    found = zip(*pick(table, "matrix", "name", "inputs", "outputs", "params"), strict=True)
    return {str(name): (i, o, weights, i * scale, o * scale) for name, i, o, weights in found}


def _shape(values):
    return f"S × {plain(values, 6)}"


def _matrix(scene, matrix, name, x, low):
    """A matrix from its lower left corner, its name and weights above it."""
    _, _, weights, high, wide = matrix
    scene.box(x, low, wide, high, fill=WEIGHTS)
    scene.words(x + wide / 2, low + high + 0.33, name, weight="bold")
    scene.words(x + wide / 2, low + high + 0.17, si(weights), size=9)


def _branch(scene, y, width):
    """From the residual line through a norm to the first matrices, at a height."""
    scene.arrow([(LINE, y), (0.84, y)])
    scene.box(0.84, y - 0.27, 0.2, 0.54, fill="#DDDDDD", edge=GREY)
    scene.words(0.94, y + 0.38, "norm", size=9)
    scene.line([(1.04, y), (START - 0.16, y)], lw=1.2)
    scene.words(1.42, y - 0.13, _shape(width), size=9)


def _added(scene, x, start, y, width):
    """From the lower edge of a matrix back to the residual line."""
    scene.arrow([(x, start), (x, y), (LINE + 0.11, y)])
    scene.words(1.5, y + 0.12, f"{_shape(width)}, added", size=9)
    scene.dots(LINE, y, 0.105, fill=INK)
    scene.line([(LINE - 0.06, y), (LINE + 0.06, y)], color="white", lw=1.5)
    scene.line([(LINE, y - 0.06), (LINE, y + 0.06)], color="white", lw=1.5)


def _heads(scene, here):
    """Query heads that stand on the key-value heads which they share."""
    kv, group = int(here.kv_heads), int(here.heads // here.kv_heads)
    lines, bottom, top = -(-kv // PER_LINE), *PANEL[:2]
    pitch = min(0.115, 1.1 / min(kv, PER_LINE), 1.05 / (lines * (group + 1.5)))
    i, step = np.arange(kv), pitch * (group + 1.5)
    left, size = START + 0.08 + i % PER_LINE * pitch, 0.84 * pitch
    foot = (bottom + top - lines * step) / 2 + (lines - 1 - i // PER_LINE) * step + 0.2 * pitch
    for level in range(group + 1):
        scene.boxes(left, foot + level * pitch, size, size, fill=QUERIES if level else KEYS)
    x, y = START + 1.36, (bottom + top) / 2 + 0.27
    told = (f"{kv} key-value heads", KEYS), (f"{here.heads:.0f} query heads", QUERIES)
    for line, (words, colour) in enumerate(told):
        scene.box(x - 0.13, y - line * 0.18 - 0.045, 0.09, 0.09, fill=colour)
        scene.words(x, y - line * 0.18, words, size=9, align="left")
    scene.words(x, y - 0.36, f"{group} to each blue,\n{here.head_values:.0f} values each", size=9, align="left")
    scene.box(START - 0.05, bottom, PANEL[2] - START + 0.05, top - bottom, edge=GREY)


def _attention(scene, table):
    here, found, low = row(table), matrices(table), 5.17
    high = found["Wq"][3]
    middle, bus = low + high / 2, low + high + 0.06
    _branch(scene, middle, here.width)
    end = START + 0.05
    for name in ("Wq", "Wk", "Wv"):
        wide = found[name][4]
        slot = max(0.86, wide + 0.22)
        x, end = end + (slot - 0.06 - wide) / 2, end + slot
        _matrix(scene, found[name], name, x, low)
        scene.arrow(
            [(START - 0.16, middle), (START - 0.16, bus), (x - 0.15, bus), (x - 0.15, middle), (x - 0.01, middle)]
        )
        scene.arrow([(x + wide / 2, low), (x + wide / 2, low - 0.12)])
        scene.words(x + wide / 2, low - 0.2, _shape(found[name][1]), size=9)
        scene.arrow([(x + wide / 2, low - 0.28), (x + wide / 2, PANEL[1])])
    _heads(scene, here)
    inputs, _, _, high, wide = found["Wo"]
    scene.arrow([(PANEL[2], PANEL[0] + high / 2), (SECOND - 0.02, PANEL[0] + high / 2)])
    scene.words((PANEL[2] + SECOND) / 2, PANEL[0] + high / 2 + 0.13, _shape(inputs), size=9)
    _matrix(scene, found["Wo"], "Wo", SECOND, PANEL[0])
    _added(scene, SECOND + wide / 2, PANEL[0], 3.25, here.width)
    _sum(scene, "attention", PANEL[0] + 0.62, here.attention_params, here)


def _feed_forward(scene, table):
    here, found, low = row(table), matrices(table), 0.5
    names = [name for name in ("up", "gate") if name in found]
    tall, across = found["up"][3:]
    pitch, middle = tall + 0.55, low + LONGEST / 2
    _branch(scene, middle, here.width)
    for i, name in enumerate(names):
        y = middle + (i - (len(names) - 1) / 2) * pitch
        _matrix(scene, found[name], name, START, y - tall / 2)
        scene.arrow([(START - 0.16, middle), (START - 0.16, y), (START - 0.01, y)])
        scene.line([(START + across, y), (START + across + 0.2, y), (START + across + 0.2, middle)], lw=1.2)
    x = START + across + 0.2
    scene.arrow([(x, middle), (SECOND - 0.02, middle)])
    scene.words((x + SECOND) / 2, middle + 0.13, _shape(found["up"][1]), size=9)
    told = "activation of\ngate, times up" if len(names) == 2 else "activation"
    scene.words((x + SECOND) / 2, middle - 0.14, told, size=9)
    _, _, _, high, wide = found["down"]
    _matrix(scene, found["down"], "down", SECOND, middle - high / 2)
    _added(scene, SECOND + wide / 2, middle - high / 2, 0.2, here.width)
    _sum(scene, "feed-forward", middle + 0.18, here.ffn_params, here)


def _sum(scene, name, y, params, here):
    """What one half of the layer weighs."""
    share = params / (here.attention_params + here.ffn_params)
    scene.words(TOTAL, y, name, align="left", weight="bold")
    scene.words(TOTAL, y - 0.19, f"{si(params)} weights,\n{plain(100 * share, 2)} % of the layer", size=9, align="left")


def layer_scene(table):
    """The layer as it is drawn."""
    scene, here, scale = Scene(), row(table), inches_per_value(table)
    scene.line([(LINE, 6.22), (LINE, 0.02)], color=INK, lw=2.6)
    scene.box(LINE - 0.25, 6.22, here.width * scale, 0.06, fill=COLOUR["cache"])
    scene.words(LINE - 0.25, 6.43, f"one token: {plain(here.width, 6)} values", size=9, align="left")
    scene.words(0.1, 6.65, f"{here.name}, one layer; S tokens at once", size=10, align="left")
    scene.words(LINE + 0.1, 3.02, f"residual line, {_shape(here.width)}", size=9, align="left")
    _attention(scene, table)
    _feed_forward(scene, table)
    bar = 2.0 ** round(np.log2(0.6 / scale))
    scene.brace((SECOND, 6.0), (SECOND + bar * scale, 6.0), 0.06, color=INK)
    scene.words(SECOND, 6.15, f"{plain(bar, 6)} values", size=9, align="left")
    scene.words(SECOND, 5.77, "high: inputs, wide: outputs", size=9, align="left")
    return scene


def _layer_draw(figure):
    return updating(drawing(sheet(figure, *SHEET), layer_scene))


def _layer_summary(table):
    here, found = row(table), matrices(table)
    whole = here.attention_params + here.ffn_params
    inner = found["up"][1]
    return (
        f"{here.name}: a token is {plain(here.width, 6)} values. Attention has {si(here.attention_params)} weights, with "
        f"{here.heads:.0f} query heads on {plain(here.kv_heads)} key-value heads of {here.head_values:.0f} values; the "
        f"feed-forward has {si(here.ffn_params)}, {plain(100 * here.ffn_params / whole, 2)} % of the layer's {si(whole)}, in "
        f"{'three' if 'gate' in found else 'two'} matrices of {plain(here.width, 6)} by {plain(inner, 6)}."
    )


layer = Exhibit(
    slug="03-layer",
    title="Most of a layer is its feed-forward.",
    caption="Matrices to scale: height is inputs, width outputs, area weights (written above). Arrows carry shapes for S "
    "tokens. In which models are Wk and Wv narrower than Wq, and what shrinks with them?",
    alt="Drawing of a transformer layer: from a vertical residual line, one branch passes a norm, three matrices for "
    "queries, keys and values, the heads and an output matrix, and is added to the line; a second passes a norm, the "
    "gate, up and down matrices, and is added.",
    controls={"model_name": Control(label="model", values=MODELS, start="Llama-3-8B")},
    table=_layer_table,
    draw=_layer_draw,
    summary=_layer_summary,
    sources=("litgpt-config", "brown2020gpt3"),
)
