"""From a chip's row to the tiers of its machines: the same in training, serving and measured collectives."""

from dataclasses import replace

import numpy as np
import pytest

from bottlenecks.facts.chips import chip, chips
from bottlenecks.facts.networks import links
from bottlenecks.models import collectives, tori, wiring
from bottlenecks.models.machine import machine


def test_names_of_links_are_in_the_catalog():
    for c in chips().values():
        for name in (c.facts["link_name"], c.facts["host_link"]):
            assert not name or name in links(), c.name
        assert not (c.facts["link_name"] and c.facts["link"].startswith("none"))


@pytest.mark.parametrize(
    ("name", "inner", "ranks", "port"),
    [
        ("H100 SXM5", 450e9, 8, 50e9),  # NVLink 4, a port of 400 Gbit/s
        ("A100 SXM 80GB", 300e9, 8, 25e9),
        ("GB200 (per GPU)", 900e9, 72, 50e9),
        ("MI300X", 448e9, 8, 50e9),  # seven links of 64 GB/s, a full mesh
        ("TPU v5p", 600e9, 8960, 6.25e9),
        ("Trainium2", 640e9, 64, 25e9),
        ("L40S", 31.5e9, 8, 12.5e9),  # no link of its own: PCIe 4.0 x16
        ("RTX PRO 6000 Blackwell", 63e9, 8, 12.5e9),
    ],
)
def test_tiers_of_a_chip(name, inner, ranks, port):
    tiers = wiring.tiers_of(chip(name))
    assert (tiers[0].bytes_per_s, tiers[0].ranks) == (inner, ranks)
    assert tiers[-1].ranks is None and tiers[-1].bytes_per_s == min(port, inner)
    assert machine(chip(name)).tiers[0].link == tiers[0].link


def test_a_pair_of_cards_has_its_bridge_then_its_host():
    pair, host, ports = wiring.tiers_of(chip("A100 PCIe 80GB"))
    assert (pair.ranks, pair.bytes_per_s) == (2, 300e9)
    assert (host.ranks, host.bytes_per_s) == (8, 31.5e9 / 2)  # two cards share their way
    assert ports.bytes_per_s == host.bytes_per_s
    assert not pair.in_network_reduction


def test_pods_are_tori():
    for name, axes in (("TPU v4", 3), ("TPU v5p", 3), ("TPU v5e", 2), ("TPU v6e", 2), ("Trainium1", 2)):
        assert tori.placed(wiring.tiers_of(chip(name))[0], 64.0).most == 2 * axes, name
    assert tori.placed(wiring.tiers_of(chip("H100 SXM5"))[0], 8.0) is None


def test_switches_that_sum():
    sums = {
        name: wiring.tiers_of(chip(name))[0].in_network_reduction for name in ("H100 SXM5", "A100 SXM 80GB", "MI300X")
    }
    assert sums == {"H100 SXM5": True, "A100 SXM 80GB": False, "MI300X": False}


def test_a_stated_port_wins():
    assert wiring.tiers_of(chip("H100 SXM5"), port_bytes_per_s=12.5e9)[-1].bytes_per_s == 12.5e9


def test_a_fabric_has_a_step_and_a_share_of_its_own():
    # fabrics.csv: TCP takes 100 us a step and reaches 0.45 of a port; EFA 8 us and all of it
    tcp, efa, usual = (wiring.ports(50e9, fabric=name) for name in ("TCP", "EFA", ""))
    assert (tcp.bytes_per_s, tcp.latency_s) == (22.5e9, 1e-4)
    assert (efa.bytes_per_s, efa.latency_s) == (50e9, 8e-6)
    assert usual.bytes_per_s == 50e9 and usual.link == efa.link == wiring.PORT_LINK
    # a byte over two machines of one chip takes two steps around their ring
    one, other = (collectives.collective_time("all_reduce", 1.0, tiers=(t,), ranks=2).seconds for t in (efa, tcp))
    assert other - one == pytest.approx(2 * (100e-6 - 8e-6), rel=1e-3)
    with pytest.raises(ValueError, match="fabric 'EFAA' is unknown; did you mean 'EFA'"):
        wiring.ports(50e9, fabric="EFAA")


def test_faster_wires_scale_what_is_sent():
    """Twice every rate and half of every wait is half of the time."""
    on = machine(chip("H100 SXM5"))
    fast = replace(on, link_speed=2.0, port_speed=2.0, waits=0.5)
    for collective in collectives.COLLECTIVES:
        for ranks in (2, 8, 64):
            size = np.geomspace(1e3, 1e9, 5)
            one, other = (wiring.send_s(collective, size, ranks, on=x) for x in (on, fast))
            assert one == pytest.approx(2 * other)


def test_one_rank_sends_nothing_and_no_wire_sends_never():
    on = machine(chip("H100 SXM5"))
    assert np.all(wiring.send_s("all_reduce", np.array([1e6, 1e9]), 1, on=on) == 0)
    lone = machine(chip("H100 SXM5"), tiers=())
    assert np.isinf(wiring.send_s("all_reduce", 1e6, 2, on=lone))
    assert wiring.send_s("all_reduce", 1e6, np.array([1, 2, 8]), on=lone).tolist() == [0, np.inf, np.inf]


def test_a_message_of_a_byte_is_the_least():
    on = machine(chip("H100 SXM5"))
    nothing, byte, much = wiring.send_s("all_gather", np.array([0.0, 1.0, 1e9]), 8, on=on)
    assert nothing == byte < much
    # 7/8 of a gigabyte over the share of 450 GB/s that is reached, and less than a tenth for the start
    streamed = 7 / 8 * 1e9 / 450e9 / on.efficiency.link
    assert streamed < much < 1.1 * streamed


def test_what_a_chip_needs_for_links_of_its_own():
    """A domain of more than one chip and a rate; else the host's PCIe, else nothing but ports."""
    h100 = chip("H100 SXM5")
    one = replace(h100, facts=h100.facts | {"link_domain_chips": "1", "host_link": ""})
    assert wiring.inside(one) == ()
    bare = replace(h100, facts=h100.facts | {"link_domain_chips": "", "host_link": "PCIe 4.0 x16"})
    (host,) = wiring.inside(bare)
    assert (host.name, host.ranks, host.bytes_per_s) == ("host", 8, 31.5e9)
    assert len(wiring.tiers_of(one)) == 1 and not wiring.tiers_of(h100)[-1].in_network_reduction
    unstated = replace(h100, facts=h100.facts | {"nic_gbits_per_s": ""})
    assert wiring.tiers_of(unstated)[-1].bytes_per_s == 12.5e9  # 100 Gbit/s
