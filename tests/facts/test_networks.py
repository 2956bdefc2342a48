"""Links and systems: rates by hand, one direction, tiers from the inside out."""

from dataclasses import replace

import numpy as np
import pytest

from bottlenecks import data
from bottlenecks.facts.chips import chip, find_chip
from bottlenecks.facts.networks import Link, System, Tier, fabrics, link, links, one_way, read_ports, system, systems

NO_CHIP = {"Colossus (2026)"}  # three chips mixed; the catalog has those of all other systems


# ---- rates by hand


@pytest.mark.parametrize(
    "name, gbytes_per_s",
    [  # lanes x GT/s x encoding / 8
        ("PCIe 3.0 x16", 16 * 8 * 128 / 130 / 8),  # 15.75
        ("PCIe 4.0 x16", 16 * 16 * 128 / 130 / 8),  # 31.5
        ("PCIe 5.0 x16", 16 * 32 * 128 / 130 / 8),  # 63.0
        ("PCIe 6.0 x16", 16 * 64 * 242 / 256 / 8),  # 121: flits of 256 bytes carry 242
        ("PCIe 7.0 x16", 16 * 128 * 242 / 256 / 8),  # 242
    ],
)
def test_pcie_is_lanes_times_rate_times_encoding(name, gbytes_per_s):
    assert link(name).bytes_per_s == pytest.approx(gbytes_per_s * 1e9, rel=0.001)


@pytest.mark.parametrize(
    "generation, links_per_chip, printed_both_ways",
    [(1, 4, 160e9), (2, 6, 300e9), (3, 12, 600e9), (4, 18, 900e9), (5, 18, 1800e9), (6, 36, 3600e9)],
)
def test_nvlink_is_half_of_what_its_maker_prints(generation, links_per_chip, printed_both_ways):
    found = link(f"NVLink {generation}")
    assert found.bytes_per_s == printed_both_ways / 2
    each = float(found.facts["port_gbytes_per_s"]) * 1e9
    assert links_per_chip * each == found.bytes_per_s


@pytest.mark.parametrize("row", [pytest.param(r, id=r["name"]) for r in data.rows("links") if r["lane_gbits_per_s"]])
def test_a_port_is_its_lanes_times_their_rate(row):
    if row["lanes"] and row["port_gbytes_per_s"]:
        gbits = float(row["lanes"]) * float(row["lane_gbits_per_s"]) * float(row["encoding"] or 1)
        assert gbits / 8 == pytest.approx(float(row["port_gbytes_per_s"]), rel=0.001)


@pytest.mark.parametrize("row", [pytest.param(r, id=r["name"]) for r in data.rows("links") if r["ports"]])
def test_a_chip_has_its_ports_together(row):
    if row["kind"].startswith("scale-up") and row["port_gbytes_per_s"]:
        together = float(row["ports"]) * float(row["port_gbytes_per_s"])
        # Trainium2: four neighbours at 128 GB/s and two at 64
        together += 128 if row["name"] == "NeuronLink v3" else 0
        assert together == pytest.approx(float(row["chip_gbytes_per_s"]))


@pytest.mark.parametrize("name, documented_both_ways", [("ICI v5e", 400e9), ("ICI v5p", 1200e9), ("ICI v6e", 800e9)])
def test_tpu_documentation_counts_both_directions(name, documented_both_ways):
    found = link(name)
    assert found.bytes_per_s == documented_both_ways / 2
    assert found.bytes_per_s_low == pytest.approx(0.9 * found.bytes_per_s)  # the scaling book's


def test_tpu_v4_and_v3_from_the_all_reduce_of_a_pod():
    # all-reduce bandwidth of the pod / chips / links
    assert 1.1e15 / 4096 / 6 == pytest.approx(link("ICI v4").bytes_per_s_low / 6, rel=0.01)
    assert 340e12 / 1024 / 4 == pytest.approx(link("ICI v3").bytes_per_s / 4, rel=0.02)


def test_no_link_counts_both_directions():
    for name, both in (
        ("NVLink 4", 900e9),
        ("NVLink-C2C", 900e9),
        ("NV-HBI", 10e12),
        ("ICI v7", 1200e9),
        ("NeuronLink v4", 2.56e12),
        ("PCIe 5.0 x16", 126e9),
    ):
        assert link(name).bytes_per_s == pytest.approx(both / 2, rel=0.01)


def test_generations_grow():
    for family in (
        [f"PCIe {g}.0 x16" for g in range(3, 8)],
        [f"NVLink {g}" for g in range(1, 7)],
        [f"InfiniBand {g}" for g in ("EDR", "HDR", "NDR", "XDR")],
        [f"ICI v{g}" for g in ("2", "3")],
        ["ICI v4", "ICI v5p"],
        ["ICI v5e", "ICI v6e"],
        [f"NeuronLink v{g}" for g in (2, 3, 4)],
    ):
        rates = [link(name).bytes_per_s for name in family]
        assert rates == sorted(rates) and len(set(rates)) == len(rates), family


@pytest.mark.parametrize("name", list(links()))
def test_links_are_physical(name):
    found = link(name)
    if found.bytes_per_s is not None:
        assert 1e9 < found.bytes_per_s < 1e13
        assert (found.bytes_per_s_low or found.bytes_per_s) <= found.bytes_per_s
        assert (found.bytes_per_s_high or found.bytes_per_s) >= found.bytes_per_s
    assert found.latency_s is None or 1e-8 < found.latency_s < 1e-2
    assert found.sources or found.confidence == "memory"


def test_cables_of_a_rack_by_hand():
    # 72 GPUs x 18 links x 2 lanes x 2 directions, one pair of wires each
    assert int(link("NVL72 copper spine").facts["cables"]) == 72 * 18 * 2 * 2


# ---- systems


@pytest.mark.parametrize("name", list(systems()))
def test_every_system_loads_with_its_chip_and_links(name):
    found = system(name)
    assert (found.chip is None) == (name in NO_CHIP), found.facts["chip"]
    assert found.tiers or name == "SambaRack SN40L-16"
    for tier in found.tiers:
        assert tier.sources, tier.name
        if tier.link:
            wire = link(tier.link)
            most = wire.bytes_per_s_high or wire.bytes_per_s
            if most and tier is found.tiers[0]:
                assert tier.bytes_per_s <= most, "a chip sends no more than its links carry"
    closed = [tier.ranks for tier in found.tiers if tier.ranks is not None]
    assert not closed or closed[-1] == found.chips or found.tiers[-1].ranks is None


def test_the_inner_tier_is_the_chip_s_own_link():
    for name in (
        "DGX-2",
        "DGX A100",
        "DGX H100",
        "DGX B200",
        "GB200 NVL72",
        "TPU v4 pod",
        "TPU v5p pod",
        "Ironwood pod",
        "Frontier",
    ):
        found = system(name)
        assert found.tiers[0].bytes_per_s == found.chip.link_bytes_per_s


def test_chips_per_node_times_nodes():
    by_name = {row["name"]: row for row in data.rows("systems")}
    assert 74 * 128 * 4 == system("Frontier").chips  # cabinets x nodes x chips
    assert 11136 * 4 == system("El Capitan").chips
    assert 8 * 3072 == system("Meta 24k H100 (RoCE)").chips
    assert float(by_name["Ironwood pod"]["racks"]) * 64 == system("Ironwood pod").chips
    # 102.4 Tb/s into a cabinet's switches, 4 x 200 Gb/s to each of the other 73 cabinets
    assert system("Frontier").tier("system").oversubscription == pytest.approx(128 * 4 / (4 * 73), rel=0.01)


def test_every_chip_of_a_system_is_named_once_by_the_catalog():
    for row in data.rows("systems"):
        assert find_chip(row["chip"]) in (row["chip"], None), row["chip"]


# ---- look-up


@pytest.mark.parametrize("spelling", ["NVL72", "gb200-nvl72", "GB200 nvl72"])
def test_spelling_is_forgiven(spelling):
    assert system(spelling).name == "GB200 NVL72"


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(ValueError, match="link 'NVLnk 4' is unknown; did you mean 'NVLink 4'"):
        link("NVLnk 4")
    with pytest.raises(ValueError, match="system 'Frontierr' is unknown; did you mean 'Frontier'"):
        system("Frontierr")
    with pytest.raises(ValueError, match="system must be a name, got 7"):
        system(7)
    with pytest.raises(ValueError, match="tier 'pod' is unknown; there are: node, cluster"):
        system("DGX H100").tier("pod")


def test_no_two_rows_share_a_spelling():
    for table in ("links", "systems"):
        spellings = [
            "".join(c for c in s.casefold() if c.isalnum())
            for row in data.rows(table)
            for s in (row["name"], *row["aliases"].split(";"))
            if s
        ]
        assert len(spellings) == len(set(spellings)), table


# ---- doors


def test_both_ways_is_said_and_halved():
    assert Link.both_ways(name="X", bytes_per_s=900e9).bytes_per_s == one_way(900e9) == 450e9


@pytest.mark.parametrize("value", [-1.0, 0, float("nan"), "450e9", True])
def test_a_bad_rate_is_refused_by_name_and_value(value):
    with pytest.raises(ValueError, match=r"Link\('X'\).bytes_per_s must be") as raised:
        Link(name="X", bytes_per_s=value)
    assert repr(value) in str(raised.value)


def made(*tiers):
    return System(name="S", chip=None, chips=64, tiers=tiers)


NODE = Tier(name="node", ranks=8, bytes_per_s=450e9, latency_s=1e-6)


def test_tiers_must_grow_divide_and_slow_down():
    with pytest.raises(ValueError, match="'cluster' has 8 ranks, not more than the 8 of 'node'"):
        made(NODE, replace(NODE, name="cluster"))
    with pytest.raises(ValueError, match="'cluster' has 20 ranks, not a multiple of the 8"):
        made(NODE, Tier(name="cluster", ranks=20, bytes_per_s=50e9))
    with pytest.raises(ValueError, match="more than the 450000000000.0 of 'node' inside it"):
        made(NODE, Tier(name="cluster", ranks=64, bytes_per_s=900e9))
    with pytest.raises(ValueError, match="outside 'node', which has no end"):
        made(replace(NODE, ranks=None), Tier(name="cluster", ranks=64, bytes_per_s=50e9))
    assert made(NODE, Tier(name="cluster", ranks=None, bytes_per_s=50e9)).tiers[1].ranks is None


def test_oversubscription_below_one_gets_its_inverse_as_a_hint():
    with pytest.raises(ValueError, match=r"must be 1 or above .* got 0.5; did you mean 2.0\?"):
        replace(NODE, oversubscription=0.5)


def test_a_chip_by_name_is_refused_with_how_to_write_it():
    with pytest.raises(ValueError, match=r"chip must be a Chip, got 'H100'; write chip\('H100'\)"):
        System(name="S", chip="H100", chips=8)


def test_replace_sweeps_a_field():
    rates = np.geomspace(50e9, 450e9, 5)
    swept = made(NODE, Tier(name="cluster", ranks=64, bytes_per_s=rates))
    assert swept.tiers[1].bytes_per_s.shape == (5,)
    with pytest.raises(ValueError, match="more than"):
        made(NODE, Tier(name="cluster", ranks=64, bytes_per_s=2 * rates))
    sizes = replace(NODE, ranks=np.array([8, 72]))
    with pytest.raises(ValueError, match="not a multiple"):
        made(sizes, Tier(name="cluster", ranks=64 * 8, bytes_per_s=50e9))
    assert made(sizes, Tier(name="cluster", ranks=576, bytes_per_s=50e9)).name == "S"
    assert replace(system("DGX H100"), chips=4096, chip=chip("H200 SXM")).chips == 4096


def test_optics_by_energy_per_bit():
    def pj_per_bit(name):
        row = link(name).facts
        return float(row["port_watts"]) / float(row["port_gbytes_per_s"]) / 8e9 * 1e12

    assert pj_per_bit("Optics 1.6T pluggable") == pytest.approx(18.75)  # 30 W / 1.6 Tb/s
    assert pj_per_bit("Optics 100G lane") == pytest.approx(21.25)  # 17 W / 800 Gb/s, same era
    assert pj_per_bit("Optics 1.6T co-packaged") == pytest.approx(5.625)  # 9 W / 1.6 Tb/s
    assert pj_per_bit("Copper DAC 100G lane") < 1


# ---- ports and fabrics in words


@pytest.mark.parametrize(
    ("text", "per_machine", "fabric", "gbit_per_s"),
    [
        ("8x400Gb InfiniBand per node", 8, "InfiniBand", 400),
        ("EFA 3200 Gb/s per node", 16, "EFA", 200),  # 3,200 over 16 chips
        ("4 x 200 Gbps RoCE", 8, "RoCE", 100),  # four ports for eight chips
        ("200 Gb/s HDR per GPU", 8, "InfiniBand", 200),
        ("NDR 1.6 Tb/s per host", 4, "InfiniBand", 400),
        ("GPUDirect-TCPX", 8, "TCP", None),
        ("Elastic Fabric Adapter", 8, "EFA", None),
        ("NVLink3 NVSwitch", 8, "", None),
        ("", 8, "", None),
    ],
)
def test_ports_as_people_write_them(text, per_machine, fabric, gbit_per_s):
    found, rate = read_ports(text, float(per_machine))
    assert found == fabric
    assert np.isnan(rate) if gbit_per_s is None else rate == pytest.approx(gbit_per_s * 0.125e9)


def test_fabrics_have_sources_and_no_spelling_means_two():
    said = [each.casefold() for name, row in fabrics().items() for each in (name, *data.keys(row["aliases"]))]
    assert len(said) == len(set(said))
    for row in fabrics().values():
        assert 0 < float(row["share"]) <= 1 and row["notes"]
        assert data.keys(row["sources"]) and set(data.keys(row["sources"])) <= set(data.references())
