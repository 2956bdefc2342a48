"""Drawings of mechanisms: lengths and areas by hand, and no word that covers another at any end of a control."""

import numpy as np
import pytest

from bottlenecks.exhibits import ch01_link, ch02_drawn, ch03_drawn, ch05_drawn, ch06_drawn
from bottlenecks.exhibits.drawn import HEAD, Scene
from bottlenecks.exhibits.registry import pick, row

DRAWN = {
    ch01_link.two_chips: ch01_link.sketch,
    ch03_drawn.layer: ch03_drawn.layer_scene,
    ch02_drawn.the_chip: ch02_drawn.chip_scene,
    ch02_drawn.tiles: ch02_drawn.tiles_scene,
    ch02_drawn.in_flight: ch02_drawn.flight_scene,
    ch05_drawn.dealt: ch05_drawn.dealt_scene,
    ch06_drawn.counted: ch06_drawn.counted_scene,
}


def settings(exhibit):
    """The start of an exhibit, all of a menu, and both ends of a slider beside every choice of the menus."""
    yield {}
    menus = {name: c.values for name, c in exhibit.controls.items() if c.is_menu}
    for name, control in exhibit.controls.items():
        for value in control.values if control.is_menu else (control.values[0], control.values[-1]):
            yield {name: value}
            for other, choices in menus.items():
                yield from ({name: value, other: choice} for choice in choices if other != name)


@pytest.mark.parametrize("exhibit", DRAWN, ids=lambda e: e.slug)
def test_words_are_readable_and_apart_at_every_setting(exhibit):
    size = exhibit().figure.get_size_inches()
    for chosen in settings(exhibit):
        scene = DRAWN[exhibit](exhibit.table(**exhibit.settings(**chosen)))
        assert scene.clash(*size) == [], chosen
        assert min(text[1] for text in scene.texts) >= 9
        ends = np.concatenate([area for area, *_ in scene.areas] + [line for line, *_ in scene.lines])
        assert (ends > -0.02).all() and (ends < size + 0.02).all(), chosen


@pytest.mark.parametrize("exhibit", DRAWN, ids=lambda e: e.slug)
def test_captions_are_short(exhibit):
    assert len(exhibit.caption.split()) < 40


def test_a_clash_of_words_is_found():
    scene = Scene()
    scene.words(1, 1, "one")
    scene.words(1.1, 1, "other")
    scene.words(3.9, 1, "outside")
    scene.words(2.5, 1.0, "alone")
    assert scene.clash(4, 2) == ["outside", ("one", "other")]


def test_an_arrow_ends_where_it_is_told():
    scene = Scene()
    scene.arrow([(0, 0), (1, 0)])
    tip = scene.areas[0][0]
    np.testing.assert_allclose(tip, [(1, 0), (1 - HEAD, 0.4 * HEAD), (1 - HEAD, -0.4 * HEAD)])
    np.testing.assert_allclose(scene.lines[0][0], [(0, 0), (1 - HEAD, 0)])


def test_words_of_two_lines_go_down():
    scene = Scene()
    scene.words(1, 1, "a\nb", size=10)
    assert [text[5] for text in scene.texts] == pytest.approx([1, 1 - 13.5 / 72])


# ---- a layer --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ch03_drawn.MODELS)
def test_sides_of_matrices_are_in_proportion_to_their_values(name):
    table = ch03_drawn.layer(model_name=name).table
    inputs, outputs = pick(table, "matrix", "inputs", "outputs")
    sides = np.array([m[3:] for m in ch03_drawn.matrices(table).values()])
    np.testing.assert_allclose(sides / sides[0], np.stack([inputs, outputs], 1) / (inputs[0], outputs[0]))


def test_llama_3_8b_by_hand():
    # 4,096 x 4,096 = 16,777,216; 8 heads of 128 are 1,024 values; 4,096 x 14,336 = 58,720,256
    table = ch03_drawn.layer().table
    found = {name: m[:3] for name, m in ch03_drawn.matrices(table).items()}
    assert found["Wq"] == found["Wo"] == (4096, 4096, 16777216)
    assert found["Wk"] == found["Wv"] == (4096, 1024, 4194304)
    assert found["gate"] == found["up"] == (4096, 14336, 58720256)
    assert found["down"] == (14336, 4096, 58720256)


def test_a_layer_of_gpt_3_has_no_gate_and_is_two_thirds_feed_forward():
    shown = ch03_drawn.layer(model_name="GPT-3 175B")  # 4 w^2 beside 8 w^2
    assert "gate" not in ch03_drawn.matrices(shown.table) and "67 % of the layer" in shown.summary


def test_every_head_is_drawn():
    scene = ch03_drawn.layer_scene(ch03_drawn.layer(model_name="Llama-3-70B").table)
    fills = [area[1] for area in scene.areas]
    assert fills.count(ch03_drawn.QUERIES) == 64 + 1 and fills.count(ch03_drawn.KEYS) == 8 + 1  # and the key's squares


# ---- a chip ---------------------------------------------------------------------------------------


def drawn_area(scene, colour):
    """Square inches of all rectangles of a colour."""
    corners = np.array([area for area, fill, *_ in scene.areas if fill == colour and len(area) == 4])
    return np.prod(np.ptp(corners, axis=1), axis=1).sum()


@pytest.mark.parametrize("name", ch02_drawn.CHIPS)
def test_areas_are_in_proportion_to_bytes_and_pipes_to_rates(name):
    table = ch02_drawn.the_chip(chip_name=name).table
    scene = Scene()
    ch02_drawn._stacks(scene, table, 0, 2.4)
    ch02_drawn._cores(scene, table)
    scale, closer = ch02_drawn.INCHES2_PER_BYTE, ch02_drawn.magnification(table) ** 2
    for level, size in ch02_drawn.sizes(table).items():
        drawn = drawn_area(scene, ch02_drawn.SHADES[level])
        assert drawn == pytest.approx(size * scale * (1 if level == "HBM" else closer))
    pipes = Scene()
    ch02_drawn._pipes(pipes, table, 2)
    rates = pick(table, "pipe", "bytes_per_s")
    widths = np.array([np.ptp(area[:, 1]) for area, *_ in pipes.areas])
    np.testing.assert_allclose(widths, rates[-len(widths) :] * ch02_drawn.INCHES_PER_RATE)


def test_h100_by_hand():
    # 132 x 256 KiB of registers, as much of nearest cache, 50 MiB: 34,603,008 x 2 + 52,428,800
    table = ch02_drawn.the_chip(chip_name="H100 SXM5").table
    assert ch02_drawn.on_chip_bytes(table) == 121_634_816
    assert "132 cores have 524 kB each" in ch02_drawn.the_chip(chip_name="H100 SXM5").summary
    # 85,520,809,984 / 121,634,816 = 703.1
    assert "703 times the 122 MB" in ch02_drawn.the_chip(chip_name="H100 SXM5").summary


# ---- tiles ----------------------------------------------------------------------------------------


def test_tiles_by_hand():
    # 8192^3 = 549,755,813,888; side 128: 2 (2 x 8192^3 / 128 + 8192^2) B = 17.314 GB, over 5,435.9 GB/s of L2 3.185 ms;
    # ten by ten, side 1,280: 2 (2 x 8192^3 / 1280 + 8192^2) B = 1.852 GB, over 2,039 GB/s 0.908 ms
    table = ch02_drawn.tiles().table
    sides, moved, times = pick(table, "fed", "side", "bytes", "time_s")
    assert sides.tolist() == [128, 1280]
    np.testing.assert_allclose(moved, [17.314e9, 1.852e9], rtol=1e-3)
    np.testing.assert_allclose(times, [3.185e-3, 0.908e-3], rtol=1e-3)
    # sums of a tile of 128: 4 x 128^2 = 65,536 B; of 512: 1,048,576 B, more than the 262,144 B of a core's registers
    assert "take 65.5 kB and fit" in ch02_drawn.tiles().summary
    assert "take 1.05 MB and do not fit" in ch02_drawn.tiles(tile=512).summary


@pytest.mark.parametrize("tile", ch02_drawn.TILES)
def test_all_tiles_at_once_and_their_strips_are_drawn_to_scale(tile):
    scene = Scene()
    ch02_drawn._matrices(scene, ch02_drawn.tiles(tile=tile).table)
    square, share = ch02_drawn.SQUARE, tile / 8192
    strips = [area for area, fill, *_ in scene.areas if fill == ch02_drawn.STRIPS]
    assert [np.ptp(a[:, i]) for a, i in zip(strips, (1, 0), strict=True)] == pytest.approx([10 * share * square] * 2)
    assert [fill for _, fill, *_ in scene.areas].count(ch02_drawn.AT_ONCE) == 100  # ten by ten on 108 cores


# ---- waves ----------------------------------------------------------------------------------------

DEALT = {  # rows, columns, tile, chip: tiles, waves, idle cores of the last wave
    (1024, 1024, 128, "A100 SXM 80GB"): (64, 1, 44),  # 8 x 8; 108 - 64
    (1024, 1024, 128, "H100 SXM5"): (64, 1, 68),  # 132 - 64
    (4096, 4096, 128, "A100 SXM 80GB"): (1024, 10, 56),  # 32 x 32; 10 x 108 - 1,024
    (1025, 1536, 128, "A100 SXM 80GB"): (108, 1, 0),  # 9 x 12, the ninth line of tiles for one row
    (4096, 4096, 64, "A100 SXM 80GB"): (4096, 38, 8),  # 64 x 64; 38 x 108 - 4,096
}


@pytest.mark.parametrize(("asked", "found"), DEALT.items())
def test_waves_by_hand(asked, found):
    rows, columns, tile, name = asked
    here = row(ch05_drawn.dealt(rows=rows, columns=columns, tile=tile, chip_name=name).table)
    assert (here.tiles, here.waves, here.idle) == found


def test_idle_cores_stay_white():
    scene = Scene()
    ch05_drawn._grids(scene, ch05_drawn.dealt().table)
    fills = [fill for _, fill, *_ in scene.areas]
    assert fills.count("white") == 108 and fills.count(ch05_drawn.LAST) == 64


def test_a_tile_for_one_row_is_pale_but_for_that_row():
    # 129 rows of 128: the second line of tiles has one row of 128
    scene = Scene()
    ch05_drawn._grids(scene, ch05_drawn.dealt(rows=129).table)
    assert drawn_area(scene, ch05_drawn.LAST) / drawn_area(scene, ch05_drawn.EMPTY) == pytest.approx(129 / 256)


def test_waves_that_are_too_many_are_counted():
    assert ch05_drawn.shown(38) == [*range(14), None, 37] and ch05_drawn.shown(3) == [0, 1, 2]
    scene = ch05_drawn.dealt_scene(ch05_drawn.dealt(rows=4096, columns=4096, tile=64).table)
    assert "23 more" in [text[0] for text in scene.texts]  # 38 less 15 that are drawn


# ---- loads in flight ------------------------------------------------------------------------------


def test_a_pipe_by_hand():
    # A100: 2,039 GB/s x 405.5 ns = 826.8 kB; 256 loads x 108 cores x 8 B = 221.2 kB, over 405.5 ns 545.5 GB/s
    here = row(ch02_drawn.in_flight(loads=256).table)
    assert here.needed_bytes == pytest.approx(826.8e3, rel=1e-3) and here.asked_bytes == 221_184
    assert here.bytes_per_s == pytest.approx(545.5e9, rel=1e-3)


@pytest.mark.parametrize(("loads", "flying", "waiting"), [(256, 54, 0), (1024, 202, 14)])
def test_dots_stand_for_so_many_loads(loads, flying, waiting):
    # 221,184 B are 54 dots of 4,096 B; 884,736 B are 826,815 in the pipe, 201.9 dots, and 57,921 outside, 14.1
    scene = Scene()
    ch02_drawn._pipe(scene, row(ch02_drawn.in_flight(loads=loads).table))
    fills = [fill for _, fill, *_ in scene.areas]
    assert fills.count(ch02_drawn.COLOUR["memory"]) == flying and fills.count(ch02_drawn.COLOUR["latency"]) == waiting


@pytest.mark.parametrize("count", [1, 7, 54, 202])
def test_rows_of_dots_stay_inside_and_lose_none(count):
    x, y = ch02_drawn.rows_of_dots(count, 4.0, 1.5, 0.2)
    assert x.size == y.size == count and (0 < x).all() and (x < 4).all() and (0 < y).all() and (y < 1.5).all()


# ---- two chips and a link -------------------------------------------------------------------------


@pytest.mark.parametrize("rows", ch01_link.ROWS)
def test_rows_do_not_move_the_inner_size_that_hides_a_link(rows):
    # 2 B x 989.4 TFLOP/s over 450 GB/s: 4,397.3; rows x 8,192 x 2 B at 450 GB/s
    here = row(ch01_link.two_chips(rows=rows).table)
    assert here.inner == pytest.approx(4397.3, rel=1e-4)
    assert here.time_s == pytest.approx(rows * 16384 / 450e9)


def test_a_slow_port_needs_nine_times_the_inner_size():
    # 450 GB/s over 50 GB/s
    slow = row(ch01_link.two_chips(pair="H100 SXM5, port of 400 Gbit/s").table).inner
    assert slow / row(ch01_link.two_chips().table).inner == pytest.approx(9)


def test_the_largest_of_three_times_is_drawn():
    # few rows: 64 x 8,192 x 2 of them in 8,192 x D at D = 131,072: memory; at D = 256 the link
    table = ch01_link.two_chips(rows=64).table
    largest = pick(table, "larger", "time_s")
    assert largest[-1] == pick(table, "memory", "time_s")[-1] and largest[0] == pick(table, "link", "time_s")[0]
