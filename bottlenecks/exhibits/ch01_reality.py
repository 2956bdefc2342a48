"""Figures of chapter 01 on reality: what your machine does, and steps as measured."""

import numpy as np

from bottlenecks import data
from bottlenecks.exhibits.axes import panel, x_axis, y_axis
from bottlenecks.exhibits.ch01 import ROOF, roof_panel
from bottlenecks.exhibits.labels import end_labels, told
from bottlenecks.exhibits.marks import Mark, curve, updating
from bottlenecks.exhibits.registry import Control, Exhibit, pick, row, stack
from bottlenecks.exhibits.style import COLOUR, GREY, MARKERS, SERIES
from bottlenecks.facts import corpus
from bottlenecks.facts.chips import chip
from bottlenecks.facts.units import plain, si
from bottlenecks.laws import roofline
from bottlenecks.measured import first_estimate
from bottlenecks.yours import roofline as your_roofline

# ---- 1: your machine -----------------------------------------------------------------------------------------


SAMPLE = data.FOLDER / "sample_machine.json"
MOST_ROOFS = 10  # yours first: beside a machine with a GPU there is not room for every datasheet
SLOPE = "bandwidth"  # the roof of a machine whose arithmetic is not known


def _machine(machine):
    """A measurement and its roofs; the sample's where nothing is measured, or nothing that makes a roof.

    Read anew each time: a reader may measure while a notebook is open.
    """
    result = your_roofline.load(None if machine == "yours" else SAMPLE)
    found = _roofs(result)
    return (result, found) if found else _machine("sample")


def _measured_first():
    """The reader's own machine comes first as soon as it is measured."""
    try:
        return {"machine": your_roofline.load()["origin"]}
    except ValueError:  # a file that cannot be read: the menu's other choice says why
        return {}


def _roofs(result):
    """Series -> name of the machine and its two rates; one that was not measured is infinite, and draws nothing."""
    found = {}
    for device in your_roofline.DEVICES:
        of = your_roofline.roof(result, device)
        slope, on = of.get("bytes_per_s", np.inf), " on the GPU" * (device == "cuda")
        if slope < np.inf or of["flop_per_s"]:
            for format, peak in (of["flop_per_s"] or {SLOPE: np.inf}).items():
                found[format + on] = of["name"], peak, slope
    return found


def _machine_table(machine):
    result, mine = _machine(machine)
    x = np.geomspace(0.05, 20000, 141)
    mine = {
        series: {
            "intensity_flop_per_byte": x,
            "name": name,
            "origin": result["origin"],
            "asked": machine,
            "rate_flop_per_s": roofline.attainable_flop_per_s(x, peak_flop_per_s=peak, bytes_per_s=slope),
        }
        for series, (name, peak, slope) in mine.items()
    }
    theirs = {
        f"{name} {f}": {
            "intensity_flop_per_byte": x,
            "name": name,
            "rate_flop_per_s": roofline.attainable_flop_per_s(
                x, peak_flop_per_s=chip(name).peak_flop_per_s(f), bytes_per_s=chip(name).memory_bytes_per_s
            ),
        }
        for name, f in (("RTX 4090", "fp32"), ("H100 SXM5", "bf16"))[: MOST_ROOFS - len(mine)]
    }
    return stack(**mine, **theirs)


def _machine_draw(figure):
    ax = roof_panel(figure, (0.05, 20000), (3e7, 5e15), right=0.84)
    slots, dashes = range(MOST_ROOFS), ("-", "--", "-.", (0, (5, 1)))
    curves = [ax.plot([], [])[0] for _ in slots]

    def roofs(table):
        """Slot -> its series, colour and dash: yours in colour, a datasheet's grey."""
        yours = set(table["series"][table["origin"] != ""].tolist())
        return {
            i: (name, SERIES[i % 8], dashes[i % 4]) if name in yours else (name, COLOUR["idle"], ":")
            for i, name in enumerate(dict.fromkeys(table["series"].tolist()))
        }

    def fill(table):
        found = roofs(table)
        for i, each in enumerate(curves):
            series, colour, dash = found.get(i, ("", "none", "-"))
            each.set(data=pick(table, series, *ROOF), color=colour, linestyle=dash)

    def words(table):
        return {i: {"text": series, "color": colour} for i, (series, colour, _) in roofs(table).items()}

    def name(table):
        first = row(table, table["series"][0])
        return first.name + (" (the sample; run: bottlenecks measure)" if first.origin == "sample" else "")

    def heights(table):
        return {i: pick(table, series, "rate_flop_per_s")[-1] for i, (series, *_) in roofs(table).items()}

    return updating(
        Mark(curves, fill),
        end_labels(ax, {i: ("", GREY) for i in slots}, heights, size=8.5, words=words),
        told(ax, name, "lower right", weight="bold", fontsize=8.5),
    )


def _machine_summary(table):
    mine = dict.fromkeys(table["series"][table["origin"] != ""].tolist())
    roofs = {series: pick(table, series, "rate_flop_per_s") for series in mine}
    first = row(table, next(iter(roofs)))
    slopes = {f: rate[0] / first.intensity_flop_per_byte for f, rate in roofs.items() if rate[0] < rate[-1]}
    peaks = {f: rate[-1] for f, rate in roofs.items() if not f.startswith(SLOPE)}
    told = [f"memory {si(next(iter(slopes.values())), 'B/s')}" if slopes else "its bandwidth was not measured"]
    told += [", ".join(_peak_words(peaks, slopes)) or "its arithmetic was not measured"]
    text = f"{first.name}: {'; '.join(told)}."
    if first.origin != "sample" and (len(slopes) < len(roofs) or len(peaks) < len(roofs)):
        text += " The measurement is incomplete: run `bottlenecks measure` again when no other program runs."
    if first.asked == "yours" and first.origin == "sample":
        text = f"Nothing is measured on this machine yet (run `bottlenecks measure`); the sample is shown. {text}"
    return text


def _peak_words(peaks, slopes):
    for series, peak in peaks.items():
        yield f"{series} {si(peak, 'FLOP/s')}" + (
            f" (ridge {plain(peak / slopes[series])})" if series in slopes else ""
        )


your_machine = Exhibit(
    slug="01-your-machine",
    title="Your machine under the same roof.",
    caption="Rooflines as `bottlenecks measure` found them (in colour), one for each number format, beside two "
    "datasheets (grey, dotted).",
    alt="Log-log roofline plot with one measured roof for each number format of the machine and dotted roofs of an "
    "RTX 4090 and an H100 far above it.",
    controls={"machine": Control(label="machine", values=("sample", "yours"), start="sample")},
    now=_measured_first,
    table=_machine_table,
    draw=_machine_draw,
    summary=_machine_summary,
)


# ---- 2: steps, predicted and measured ------------------------------------------------------------------------------------------------


RATES = ("datasheet", "achieved")


def _steps_table(rates):
    scored, _ = first_estimate.llm_steps()
    predicted = first_estimate.estimate_s(scored) if rates == RATES[1] else scored["bound_s"]
    pairs = zip(scored["phase"].tolist(), scored["source_id"].tolist(), strict=True)
    series = np.array([f"{phase}, {corpus.called(source)}" for phase, source in pairs])
    columns = {"predicted_s": predicted, "measured_s": scored["measured_s"], "chip": scored["chip_name"]}
    return stack(
        **{str(name): {c: v[series == name] for c, v in columns.items()} for name in sorted(set(series))},
        diagonal={"predicted_s": np.array([5e-3, 3.0]), "measured_s": np.array([5e-3, 3.0])},
    )


STEP_COLOUR = {"decode": "memory", "prefill": "compute"}  # phase -> what it waits for


def _steps_draw(figure):
    figure.set_size_inches(7.6, 5.4)
    ax = panel(figure, bottom=0.12, top=0.97)
    x_axis(ax, "predicted: the larger of weight fetch and matrix products", 2.5e-3, 3, log="s")
    y_axis(ax, "measured", 2.5e-3, 8, log="s")
    along = {"rotation": 36.5, "rotation_mode": "anchor", "color": GREY, "fontsize": 8.5}
    for slope, dash, words, at, va in (
        (1, "-", "as predicted", (1.0, 0.93), "top"),
        (2, ":", "twice", (1.55, 3.3), "bottom"),
    ):
        ax.axline((1, slope), (2, 2 * slope), color=COLOUR["idle"], lw=1, ls=dash)
        ax.text(*at, words, va=va, **along)
    look = {"ls": "", "ms": 5, "mfc": "none", "mew": 1.2}
    marks = [
        curve(ax, f"{phase}, {name}", *PAIR, marker=marker, color=COLOUR[colour], label=f"{phase}, {name}", **look)
        for name, marker in zip(_step_sources(), MARKERS, strict=False)
        for phase, colour in STEP_COLOUR.items()
        if (name, phase) in _step_groups()
    ]
    ax.legend(loc="lower right")
    return updating(*marks)


PAIR = "predicted_s", "measured_s"


def _step_groups():
    """(name of a source, phase) of the steps that are there."""
    scored, _ = first_estimate.llm_steps()
    return {(corpus.called(s), p) for s, p in zip(scored["source_id"].tolist(), scored["phase"].tolist(), strict=True)}


def _step_sources():
    """Names of the sources of steps, in the order of the corpus."""
    return [corpus.called(source) for source in corpus.showing("inference", "steps of one chip")]


def _steps_summary(table):
    rows = table["series"] != "diagonal"
    ratio = table["measured_s"][rows] / table["predicted_s"][rows]
    decode = np.char.startswith(table["series"][rows], "decode")
    error = np.abs(1 / ratio - 1)
    return (
        f"{rows.sum()} steps on {len(set(table['chip'][rows]))} chips. Measured over predicted, median: decode "
        f"{plain(np.median(ratio[decode]))}, prefill {plain(np.median(ratio[~decode]))}; smallest of all "
        f"{plain(ratio.min())}. Mean absolute error: decode {plain(100 * error[decode].mean())} %, prefill "
        f"{plain(100 * error[~decode].mean())} %."
    )


steps = Exhibit(
    slug="01-steps",
    title="Does it hold?",
    caption="Steps of language models on one chip: measured against the larger of two times, fetching the weights and "
    "doing the products. Rates are the datasheet's, or the medians that kernels reach of them in other sources.",
    alt="Log-log scatter of measured against predicted step time, with the diagonal and twice it.",
    controls={"rates": Control(label="rates", values=RATES, start=RATES[0])},
    table=_steps_table,
    draw=_steps_draw,
    summary=_steps_summary,
    sources=("llamacpp_dai", "gptfast", "kipply_ft13b"),
)
