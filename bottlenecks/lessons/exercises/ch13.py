"""Exercises of chapter 13, How is the machine wired?"""

import numpy as np

from bottlenecks.exhibits import ch13, ch13_drawn, ch13_racks
from bottlenecks.laws import racks as rack_law
from bottlenecks.laws import topology as law
from bottlenecks.lessons.checks import Exercise, like
from bottlenecks.studies import racks, tax, wired

RACK = {"chips": 72, "bytes_per_s": 1800e9, "lane_bits_per_s": 200e9}  # of 13.2
POD = {"ranks": 4096, "sides": (16, 16, 16), "link": 100e9, "message": 100e6}  # of 13.3
PRINTED = {"middle": 6.4e12, "sides": (32, 32)}  # of 13.3c: google-tpu-v3
CLUSTER = {"chips": 16384, "radix": 64, "levels": 3}  # of 13.4
UNIT = {"chips": 576, "radix": 144, "levels": 2, "switches": 12}  # of 13.4c: nvidia-b300-pod
KNOWN = {"reach_m": 3.0, "bits_per_s": 50e9, "wanted": 200e9, "between": 100e9, "printed_m": 2.0}  # of 13.5
WRONG = {"chips": 8960, "sides": (16, 20, 28), "link": 100e9}  # of 13.8
BUDGET = {"chips": 4096, "radix": 64, "levels": 3, "switches": 200}  # of 13.9
SEVENTH = {"way": wired.WAYS[0], "model_name": "Llama-3.1-405B", "tp": 8.0, "pp": 8.0}  # of the bet


def middle_s(message_bytes, ranks, middle_bytes_per_s):
    """Least seconds of an all-to-all."""
    return ranks * message_bytes / (4 * middle_bytes_per_s)


def pod_middle():
    """Bytes a second across the middle of the pod of 13.3."""
    return float(law.torus_bisection(POD["sides"]) * POD["link"])


def switches(ranks, radix, levels):
    return ranks / radix * (2 * levels - 1)


def reach_m(reach, bits_per_s, wanted):
    """Reach of copper at another rate, if the skin effect alone takes it."""
    return reach * (bits_per_s / wanted) ** 0.5


def in_turn_s(stored_bytes, chips, bytes_per_s, layers):
    """Seconds of reading all weights, if only one layer's memories work at a time."""
    return layers * stored_bytes / (chips * bytes_per_s)


def wafers():
    """The published token of four wafers."""
    return next(line for line in tax.single_user() if line["chip"] == "Cerebras WSE-3")


def line_of(machine):
    return next(line for line in tax.single_user() if line["machine"] == machine)


def slower_share():
    """By how much a step takes longer when the network above the first switches is cut to a seventh."""
    one, seventh = (_step_s(over=over) for over in (1.0, 7.0))
    return seventh / one - 1


def _step_s(**changed):
    return float(ch13.hot.table(**(ch13.hot.settings() | SEVENTH | changed))["step_s"][-1])


def few_gain(before=0, after=3):
    """What larger domains save of a token served to one sequence per chip: of 64 over 8, by their places in `wired.DOMAINS`."""
    took = wired.served("DeepSeek-V3", 1).token_s
    return float(took[before] / took[after] - 1)


def busy(tier, **changed):
    """Share of the step in which a tier of the figure's links is busy."""
    table = ch13.hot.table(**(ch13.hot.settings() | changed))
    mine = np.flatnonzero((table["series"] == "tier") & (table["name"] == tier))[0]
    return float(sum(table[name][mine] for name in ch13.OF))


def mesh_over_torus():
    """Times as long as on a torus that an all-to-all takes on the drawn mesh."""
    return ch13_drawn.time_s("a mesh", ch13_drawn.TALKS[0]) / ch13_drawn.time_s("a torus", ch13_drawn.TALKS[0])


def torus_worse_chips():
    """Smallest number of chips on the slider with which a 3-D torus keeps less than a seventh."""
    sizes = np.array(ch13.middle.controls["chips"].values)
    return float(sizes[np.argmax(wired.kept("a torus in 3-D", sizes) < 1 / 7)])


def copper_ends_chips():
    """Smallest domain on the slider whose longest copper wire exceeds 2 m, with 72 chips to a rack."""
    sizes = np.array(ch13_racks.SIZES)
    return float(sizes[np.argmax(wired.doubling(sizes).metres > racks.ends_of(_lane(), "reach_m")[1])])


def _lane():
    return racks.medium("passive copper, 200G lanes")


def gain_share():
    """What domains of 64 save of the best training step of DeepSeek-V3 on 512 H100s, over domains of 8."""
    domains, times = wired.bought("DeepSeek-V3")
    return float(times[0] / times[domains.tolist().index(64)] - 1)


def kept_of(sides):
    """Share of its full rate that a chip of a torus keeps in an all-to-all."""
    sides = np.asarray(sides)
    return min(1.0, 8 / (2 * np.sum(sides > 1) * np.max(sides)))


def least_oversubscription():
    """With which 200 switches join 4,096 chips over three levels."""
    return 2 * (BUDGET["levels"] - 1) / (BUDGET["switches"] * BUDGET["radix"] / BUDGET["chips"] - 1)


Exercise(
    id="13.x1",
    unit="times",
    expected=mesh_over_torus,
    hint="Let all talk to all; the head of the picture has the time. Change the wiring from a torus to a mesh.",
    slips={
        2.0: "that is so of the rings, and of the middles; shortest ways crowd the centre of a mesh",
        1 / 2.44: "the other way round",
    },
    minutes=2,
)
Exercise(
    id="13.x2",
    unit="chips",
    expected=torus_worse_chips,
    hint="Set the oversubscription to 7 and move the chips until the green line lies below the blue one.",
    slips={512.0: "there the torus still keeps a sixth", 1728.0: "it is so already one step to the left"},
    rtol=1e-6,
    minutes=2,
)
Exercise(
    id="13.x3",
    unit="%",
    expected=lambda: 100 * busy("first switches", **SEVENTH | {"tp": 32.0}),
    hint="Choose Llama-3.1-405B, machines of 8 with rails, no oversubscription, 8 stages, and move 'layers cut over' to 32.",
    slips=lambda: {
        100 * busy("machine", **SEVENTH | {"tp": 32.0}): "those are the links inside a machine",
        100 * busy("first switches", **SEVENTH): "that is with 8 ranks",
        100 * busy("first switches", **SEVENTH | {"tp": 32.0, "model_name": "DeepSeek-V3"}): "that is DeepSeek-V3",
    },
    rtol=0.03,
    minutes=3,
)
Exercise(
    id="13.x4",
    unit="chips",
    expected=copper_ends_chips,
    hint="Leave 72 chips to a rack and double the domain until the diamond in the second row, reach of copper, enters the red.",
    slips={144.0: "there it is at 1.9 of 2 metres", 576.0: "it is so already one step to the left"},
    rtol=1e-6,
    minutes=2,
)
Exercise(
    id="13.1",
    unit="chips",
    expected=lambda: law.fat_tree_ranks(64, 2),
    hint="Half of a first switch's ports point down, and each of the others leads to a switch of its own above.",
    slips={
        4096.0: "half of the first switches' ports lead upwards",
        1024.0: "the switches above have all their ports pointing down",
    },
    rtol=1e-6,
    minutes=2,
    kind="warm-up",
)
Exercise(
    id="13.2",
    unit="",
    expected=lambda: rack_law.pairs(**RACK),
    hint="Bits of both directions over the bits of one pair.",
    slips={
        1296.0: "a byte has eight bits",
        5184.0: "that is one direction, or half of the bandwidth: a pair carries one direction, and a chip has two",
    },
    rtol=0.01,
    minutes=2,
    kind="warm-up",
)
Exercise(
    id="13.3a",
    hint="Half of the ranks have half of what they send for the other half.",
    judge_with=like(middle_s, (1e9, 64, 1e12), (1e6, 4096, 5e13), (8.0, 4, 2.0)),
    minutes=4,
    stars=2,
    kind="derive",
)
Exercise(
    id="13.3b",
    unit="s",
    expected=lambda: middle_s(POD["message"], POD["ranks"], pod_middle()),
    hint="A plane through 16 x 16 x 16 cuts 16 x 16 rings, each of them twice.",
    slips={
        2 * 2e-3: "each ring is cut twice, since it closes",
        1e-3: "each ring is cut twice, not four times; a link has one direction for each half",
        POD["message"] * 4095 / 4096 / 600e9: "that would be a switch that gives each chip all its six links",
    },
    minutes=4,
)
Exercise(
    id="13.3c",
    unit="B/s",
    expected=lambda: PRINTED["middle"] / law.torus_bisection(PRINTED["sides"]),
    hint="How many links cross the middle of 32 x 32 rings?",
    slips={
        PRINTED["middle"] / 32: "each of the 32 rings is cut twice",
        82e9: "that is what the maker's rate of a link would give; what does the printed middle imply?",
    },
    minutes=3,
    kind="compare",
)
Exercise(
    id="13.4a",
    hint="Count ports: one per chip at the bottom, and two per chip for each step to a level above.",
    judge_with=like(switches, (2048, 64, 2), (65536, 64, 3), (8, 4, 2)),
    minutes=4,
    stars=2,
    kind="derive",
)
Exercise(
    id="13.4b",
    unit="",
    expected=lambda: switches(*CLUSTER.values()),
    hint="Five ports per chip, 64 to a switch.",
    slips={
        768.0: "that is three ports per chip; every step up has a port at both of its ends",
        256.0: "those are the first switches alone",
    },
    rtol=1e-6,
    minutes=2,
)
Exercise(
    id="13.4c",
    unit="times",
    expected=lambda: UNIT["switches"] / switches(UNIT["chips"], UNIT["radix"], UNIT["levels"]),
    hint="Put 576, 144 and 2 into the function of 13.4a.",
    slips={3.0: "two levels need three ports per chip", 8 / 12: "the upper switches count as well"},
    minutes=3,
    kind="compare",
)
Exercise(
    id="13.5a",
    hint="The current flows in a skin whose depth falls with the root of the frequency, and resistance rises as it falls.",
    judge_with=like(reach_m, (3.0, 50e9, 200e9), (2.0, 100e9, 100e9), (1.0, 1e9, 16e9)),
    minutes=4,
    stars=2,
    kind="derive",
)
Exercise(
    id="13.5b",
    unit="",
    expected=lambda: reach_m(KNOWN["reach_m"], KNOWN["bits_per_s"], KNOWN["wanted"]),
    hint="Four times the rate.",
    slips={0.75: "that is in proportion; the skin effect takes the root", 6.0: "faster lanes reach less far"},
    minutes=2,
)
Exercise(
    id="13.5c",
    unit="%",
    expected=lambda: 100 * KNOWN["printed_m"] / reach_m(KNOWN["reach_m"], KNOWN["bits_per_s"], KNOWN["between"]),
    hint="What does the law give for 100 Gbit/s, and which share of it is 2 m?",
    slips={100 * 2 / 3: "the law expects less than 3 m at twice the rate", 100 * 2.1213 / 2: "the other way round"},
    minutes=3,
    kind="compare",
)
Exercise(
    id="13.6a",
    hint="Each of the L layers lies in 1/L of the memories, and is read by them alone.",
    judge_with=like(in_turn_s, (141e9, 4, 21e15, 80), (69e9, 576, 80e12, 80), (1e9, 1, 1e12, 10)),
    minutes=5,
    stars=2,
    kind="derive",
)
Exercise(
    id="13.6b",
    unit="s",
    expected=lambda: wafers()["in_turn_s"],
    hint="141.1 GB over four times 21 PB/s, eighty times.",
    slips=lambda: {
        wafers()["memory_s"]: "that lets all memories work at once",
        wafers()["in_turn_s"] * 4: "there are four wafers",
    },
    minutes=3,
)
Exercise(
    id="13.6c",
    unit="%",
    expected=lambda: 100 * wafers()["in_turn_s"] / wafers()["token_s"],
    hint="450 tokens a second were measured.",
    slips=lambda: {
        100 * wafers()["memory_s"] / wafers()["token_s"]: "that lets all memories work at once",
        100 - 100 * wafers()["in_turn_s"] / wafers()["token_s"]: "that is the share of all the rest",
    },
    minutes=3,
    kind="compare",
)
Exercise(
    id="13.7",
    hint="An axis of a chips loads each of its links with a/8 messages; the longest axis decides; a chip has two links along each axis.",
    judge_with=like(kept_of, ((16, 16, 16),), ((4, 4, 8),), ((8, 8),), ((16, 20, 28),)),
    minutes=8,
    stars=2,
    kind="program",
)
Exercise(
    id="13.8",
    unit="B/s",
    expected=lambda: float(law.torus_bisection(WRONG["sides"]) * WRONG["link"]),
    hint="Which axis does the shortest cut go across, and how many links does it meet?",
    slips={
        WRONG["chips"] / 2 * 600e9: "that is the number on the page; only what crosses the cut counts",
        32e12: "a ring is cut twice",
        2 * 8960 / 16 * 100e9: "the shortest cut goes across the longest axis",
    },
    minutes=8,
    stars=2,
    kind="find the error",
)
Exercise(
    id="13.9",
    unit="times",
    expected=least_oversubscription,
    hint="Switches are 4,096/64 (1 + 4/o). Set them equal to 200.",
    slips={1.6: "320 switches over 200 would be so if the first level shrank as well", 3.0: "that would leave 149"},
    minutes=8,
    stars=3,
    kind="design",
)
Exercise(
    id="13.10",
    hint="bottlenecks search --links prints bytes and seconds per tier of the best layout; networks.fat_tree makes tiers of a few numbers.",
    minutes=30,
    stars=3,
    kind="open",
)
