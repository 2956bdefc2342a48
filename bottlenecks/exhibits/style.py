"""How every figure looks: one colour and line for each resource, kept through the whole book."""

from matplotlib.ticker import FuncFormatter

from bottlenecks.facts.units import plain, si

# Okabe-Ito colours, told apart by colour-blind readers; each goes with a line style as well.
COLOUR = {
    "compute": "#D55E00",
    "memory": "#0072B2",
    "network": "#009E73",
    "latency": "#CC79A7",
    "cache": "#56B4E9",
    "idle": "#8C8C8C",
    "total": "#222222",
    "measured": "#222222",
    "highlight": "#E69F00",
}
LINE = {
    "compute": "-",
    "memory": "--",
    "network": "-.",
    "latency": ":",
    "cache": (0, (5, 1)),
    "idle": (0, (1, 1)),
    "total": "-",
}
GREY = "#6E6E6E"  # of words: dark enough to read
SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#222222", "#8C6D31")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

RC = {
    "figure.figsize": (7.6, 4.5),
    "figure.dpi": 100,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.6,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "lines.linewidth": 1.8,
    "lines.markersize": 5.5,
    "legend.frameon": False,
    "svg.hashsalt": "bottlenecks",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
    "axes.formatter.min_exponent": 4,
    "path.simplify": False,
}


def axis_in(axis, unit):
    """Label the ticks of a log axis with SI prefixes (1 ms, 10 ms, ...), or plainly for a count."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: si(value, unit) if unit else plain(value)))
    axis.set_minor_formatter(FuncFormatter(lambda value, _: ""))


def resource(name):
    """Line properties of a resource: colour and dash together."""
    return {"color": COLOUR[name], "linestyle": LINE[name]}
