"""Exercises of chapter 12, What does it cost to agree?"""

import numpy as np

from bottlenecks.laws import collectives as law
from bottlenecks.lessons.checks import Exercise, like
from bottlenecks.studies import agreeing

A100 = {"bytes_per_s": 300e9, "latency_s": 0.6e-6}  # of a chip's links, and a step as the library's tuner counts it
PORT = {"bytes_per_s": 50e9, "latency_s": 2.7e-6}  # of a port of 400 Gbit/s
SMALL = 2.0**14  # bytes of the bet
LOG = {"message_bytes": 2.0**32, "ranks": 16, "time_s": 0.02}  # of 12.2
PRINTED = {"bus_bytes_per_s": 940e9, "ranks": 72}  # of 12.5
CUT = {"message_bytes": 1e9, "inner": 8, "outer": 8}  # of 12.6
FOUND = {"bus_bytes_per_s": 362e9, "both_ways": 900e9}  # of 12.8
GRADIENTS = {"message_bytes": 16e9, "ranks": 8, "bytes_per_s": 450e9, "call_s": 43e-6}  # of 12.9


def measured_small_s():
    """Seconds of 16 KiB among eight chips of a DGX A100, called by the library: the slower of two sources."""
    calls = agreeing.some(source="azure_guide", chip="A100 SXM 80GB", collective="all_reduce", ranks=8.0)
    return float(calls["measured_s"][calls["message_bytes"] == SMALL][0])


def ring_s(message_bytes, ranks, bytes_per_s, latency_s):
    return law.ring_all_reduce_s(message_bytes, ranks, bytes_per_s=bytes_per_s, latency_s=latency_s)


def half_way(ranks, bytes_per_s, latency_s):
    """Message of which a ring's bytes take as long as its steps."""
    return ranks * law.half_bandwidth_bytes(bytes_per_s=bytes_per_s, latency_s=latency_s)


def measured_half_bytes():
    """Smallest message that reaches half of the largest bus bandwidth, of the calls of one source on eight H100s."""
    calls = agreeing.some(source="azure_guide", chip="H100 SXM5", collective="all_reduce", ranks=8.0)
    order = np.argsort(calls["message_bytes"])
    message, rate = calls["message_bytes"][order], (calls["message_bytes"] / calls["measured_s"])[order]
    return float(message[np.argmax(rate >= rate.max() / 2)])


def bus_over_link(ranks):
    """What a log prints over what a link carries, where the switch sums."""
    return law.bus_factor("all_reduce", ranks) / ((ranks + 1) / ranks)


def carried_bytes_per_s():
    """What each link of 12.5 carried."""
    return PRINTED["bus_bytes_per_s"] / bus_over_link(PRINTED["ranks"])


def out_bytes(message_bytes, inner, outer):
    """Bytes through each port of an all-reduce over machines whose chips share the message out among them."""
    return 2 * (outer - 1) / outer * message_bytes / inner


def slices_s():
    """Seconds of a pass of 16 GB in the bucket of 12.9, all of them: calls, and the last one that nothing hides."""
    whole = law.bus_factor("all_reduce", GRADIENTS["ranks"]) * GRADIENTS["message_bytes"] / GRADIENTS["bytes_per_s"]
    count = (whole / GRADIENTS["call_s"]) ** 0.5
    return count * GRADIENTS["call_s"] + whole / count


def first_ring_bytes():
    """Smallest message with which a ring wins among 64 ranks of the weather map."""
    found = agreeing.weather("DGX H100", "all_reduce", "the library, from the host")
    row = found.winner[np.flatnonzero(found.ranks == 64)[0]]
    return float(found.messages[np.argmax(row == "Ring")])


def first_saving_bytes():
    """Smallest message on the slider of which the link saves more than half, on a DGX H100."""
    found = agreeing.paths("DGX H100", agreeing.MESSAGES)
    return float(agreeing.MESSAGES[np.argmax(found.peer_s > 2 * found.direct_s)])


def twice_the_wire_bytes():
    """Smallest message on the slider whose call takes less than twice the wire's time, on a DGX H100."""
    took = agreeing.timed("DGX H100", "all_reduce", agreeing.MESSAGES, 8).seconds
    return float(
        agreeing.MESSAGES[np.argmax(took < 2 * agreeing.wire_s("DGX H100", "all_reduce", agreeing.MESSAGES, 8))]
    )


def faster_s(message_bytes, ranks, bytes_per_s, latency_s):
    """The sooner of a ring and of a tree."""
    wire = {"bytes_per_s": bytes_per_s, "latency_s": latency_s}
    return np.minimum(
        law.ring_all_reduce_s(message_bytes, ranks, **wire), law.tree_all_reduce_s(message_bytes, ranks, **wire)
    )


Exercise(
    id="12.x1",
    unit="steps",
    expected=lambda: 7,
    hint="Choose eight chips and look for the first block of the darkest blue.",
    slips={
        14: "after fourteen every chip has all of them; when is the first block whole?",
        8: "seven parts are missing, not eight",
    },
    rtol=1e-6,
    minutes=2,
)
Exercise(
    id="12.x2",
    unit="B",
    expected=twice_the_wire_bytes,
    hint="Choose the DGX H100, move the message and read the times in the head of the picture.",
    slips=lambda: {
        twice_the_wire_bytes() / 2: "there the call still takes more than twice the wire's time",
        twice_the_wire_bytes() * 2: "it is so already one step to the left",
        2.0**20: "there the call is still on its plateau, ten times the wire's time",
        2.0**21: "there the curve leaves its plateau, at five times the wire's time",
    },
    rtol=1e-6,
    minutes=3,
)
Exercise(
    id="12.x3",
    unit="B",
    expected=first_ring_bytes,
    hint="Follow the row of 64 ranks to the right until the colour changes.",
    slips=lambda: {
        first_ring_bytes() / 2: "there the tree still wins; look one column further",
        first_ring_bytes() * 2: "the ring wins already one column to the left",
        2.0**28: "that is the row of 128 ranks",
    },
    rtol=1e-6,
    minutes=3,
)
Exercise(
    id="12.x4",
    unit="B",
    expected=first_saving_bytes,
    hint="The head of the picture prints how many times as long the message takes over PCIe.",
    slips=lambda: {
        first_saving_bytes() / 2: "there it saves a little less than half",
        first_saving_bytes() * 2: "it is so already one step to the left",
    },
    rtol=1e-6,
    minutes=2,
)
Exercise(
    id="12.1",
    unit="s",
    expected=lambda: law.ring_all_reduce_s(1e9, 8, bytes_per_s=450e9, latency_s=0.0),
    hint="Every byte passes each link 2 (g - 1)/g times.",
    slips={
        1e9 / 450e9: "that sends the message once; a sum goes round almost twice",
        2e9 / 450e9: "twice the message is close; each chip keeps an eighth",
        1.75e9 / 900e9: "900 GB/s counts both directions of the link",
        0.875e9 / 450e9: "that is the first half, the reduce-scatter",
    },
    rtol=0.01,
    minutes=2,
    kind="warm-up",
)
Exercise(
    id="12.2",
    unit="B/s",
    expected=lambda: law.bus_factor("all_gather", LOG["ranks"]) * LOG["message_bytes"] / LOG["time_s"],
    hint="First the algorithm bandwidth, message over time, then the factor of an all-gather, (g - 1)/g.",
    slips={
        LOG["message_bytes"] / LOG["time_s"]: "that is the algorithm bandwidth",
        2 * 15 / 16 * LOG["message_bytes"] / LOG["time_s"]: "that is the factor of an all-reduce",
    },
    rtol=0.01,
    minutes=2,
    kind="warm-up",
)
Exercise(
    id="12.3a",
    hint="How many steps are there, and what does each of them send?",
    judge_with=like(ring_s, (1e9, 8, 450e9, 1e-6), (1e3, 64, 50e9, 3e-6), (1e6, 2, 1e9, 0.0)),
    minutes=5,
    stars=2,
    kind="derive",
)
Exercise(
    id="12.3b",
    unit="s",
    expected=lambda: ring_s(SMALL, 8, **A100),
    hint="Fourteen steps of 0.6 µs and 2 KiB.",
    slips=lambda: {
        1.75 * SMALL / A100["bytes_per_s"]: "that is the wire alone; what do fourteen steps wait?",
        ring_s(SMALL, 8, **A100) / 2: "that is half of the way: the sum is still to be handed round",
    },
    rtol=0.01,
    minutes=3,
)
Exercise(
    id="12.3c",
    unit="%",
    expected=lambda: 100 * ring_s(SMALL, 8, **A100) / measured_small_s(),
    hint="The measured call took 42.8 µs.",
    slips=lambda: {
        100 * 1.75 * SMALL / A100["bytes_per_s"] / measured_small_s(): "that is the share of the wire",
        100 * (1 - ring_s(SMALL, 8, **A100) / measured_small_s()): "that is the share of all the rest",
    },
    minutes=3,
    kind="compare",
)
Exercise(
    id="12.4a",
    hint="Set 2 (g - 1) α equal to 2 (g - 1) M / (g W).",
    judge_with=like(half_way, (8, 450e9, 0.6e-6), (64, 50e9, 2.7e-6), (2, 1e9, 1e-6)),
    minutes=4,
    stars=2,
    kind="derive",
)
Exercise(
    id="12.4b",
    unit="B",
    expected=lambda: half_way(64, **PORT),
    hint="Put the numbers into the function of 12.4a; MB, not MiB.",
    slips={2.7e-6 * 50e9: "that is the message for which one step waits as long as it sends"},
    rtol=0.01,
    minutes=2,
)
Exercise(
    id="12.4c",
    unit="times",
    expected=lambda: measured_half_bytes() / half_way(8, 450e9, 0.6e-6),
    rtol=0.04,
    hint="The table below has the calls: find the first whose bandwidth is half of the largest, and divide by g α W of eight H100s.",
    slips=lambda: {
        measured_half_bytes() / half_way(8, 450e9, 0.6e-6) * 8: "that divides by α W; the ring has eight ranks",
        half_way(8, 450e9, 0.6e-6) / measured_half_bytes(): "the other way round",
        measured_half_bytes() / 2**20 / 2.16: "32 MiB are 33.6 MB",
    },
    minutes=5,
    kind="compare",
)
Exercise(
    id="12.5a",
    hint="A log multiplies M / T by 2 (g - 1)/g. What does a link carry when the switch adds up: one message out, one in, and a part of its own?",
    judge_with=like(bus_over_link, (8,), (2,), (72,)),
    minutes=5,
    stars=2,
    kind="derive",
)
Exercise(
    id="12.5b",
    unit="times",
    expected=lambda: bus_over_link(72),
    hint="Put 72 into the function of 12.5a.",
    slips={2 * 71 / 72: "that is the factor of the log; the link carries a little more than one message"},
    rtol=0.01,
    minutes=2,
)
Exercise(
    id="12.5c",
    unit="B/s",
    expected=lambda: carried_bytes_per_s(),
    hint="Divide what was printed by the factor for 72 ranks.",
    slips=lambda: {
        940e9: "that is what the log says; a link carries 900 at the most",
        PRINTED["bus_bytes_per_s"]
        / law.bus_factor("all_reduce", 72): "that is the algorithm bandwidth; a link carries a little more",
        PRINTED["bus_bytes_per_s"] / bus_over_link(8): "that is the factor for eight ranks",
    },
    rtol=0.01,
    minutes=3,
    kind="compare",
)
Exercise(
    id="12.6a",
    hint="Inside a machine each chip ends up with the sum of its part of the message. That part goes round between the machines.",
    judge_with=like(out_bytes, (1e9, 8, 8), (1e9, 72, 2), (5e6, 4, 100)),
    minutes=5,
    stars=2,
    kind="derive",
)
Exercise(
    id="12.6b",
    unit="s",
    expected=lambda: out_bytes(CUT["message_bytes"], CUT["inner"], CUT["outer"]) / PORT["bytes_per_s"],
    hint="An eighth of the message passes each port 2 x 7/8 times, at 50 GB/s.",
    slips={
        1.75e9 / 50e9: "that sends the whole message through one port; each machine has eight",
        2 * 63 / 64 * 1e9 / 50e9: "that is one ring through one port",
        2 * 63 / 64 * 1e9 / 8 / 50e9: "that is eight rings of 64; in three parts only eight chips agree over each port",
    },
    rtol=0.01,
    minutes=3,
)
Exercise(
    id="12.6c",
    unit="times",
    expected=lambda: (
        law.ring_all_reduce_s(1e9, 64, **PORT)
        / law.hierarchical_all_reduce_s(
            1e9, 8, 8, inner_bytes_per_s=450e9, outer_bytes_per_s=50e9, inner_latency_s=0.6e-6, outer_latency_s=2.7e-6
        )
    ),
    hint="One ring of 64: 126 steps over a port. In three parts: 14 steps inside, 14 over a port with an eighth of the message.",
    slips={
        8.0: "the links inside have their turn as well",
        9.0: "so much less passes the ports; the links inside have their turn as well",
    },
    minutes=4,
    kind="compare",
)
Exercise(
    id="12.7",
    hint="np.minimum of two formulas: the ring's, and (√(2 log₂g α) + √(2M/W))².",
    judge_with=like(faster_s, (16384.0, 64, 50e9, 2.7e-6), (1e9, 8, 450e9, 0.6e-6), (1e6, 512, 50e9, 2.7e-6)),
    minutes=8,
    stars=2,
    kind="program",
)
Exercise(
    id="12.8",
    unit="%",
    expected=lambda: 100 * FOUND["bus_bytes_per_s"] / (FOUND["both_ways"] / 2),
    hint="In which direction does a bus bandwidth count, and in which was the link printed?",
    slips={
        100
        * FOUND["bus_bytes_per_s"]
        / FOUND["both_ways"]: "that is the number on the page; 900 GB/s counts both directions",
        100 * FOUND["bus_bytes_per_s"] / 1.75 / 450e9: "that is the algorithm bandwidth over the link",
    },
    rtol=0.01,
    minutes=8,
    stars=2,
    kind="find the error",
)
Exercise(
    id="12.9",
    unit="s",
    expected=lambda: slices_s(),
    hint="With n buckets: n calls, and the last bucket's bytes with nothing to hide behind. Where is that least?",
    slips=lambda: {
        1.75 * 16e9 / 450e9: "that is one call at the end, with all of it exposed",
        slices_s() / 2: "both parts are equal at the best, and both count",
    },
    rtol=0.03,
    minutes=10,
    stars=3,
    kind="design",
)
Exercise(
    id="12.10",
    hint="bottlenecks read LOG makes rows of an nccl-tests log; predict sets the book's times beside them.",
    minutes=30,
    stars=3,
    kind="open",
)
