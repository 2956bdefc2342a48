"""Results of llama-bench (llama.cpp) as JSON, JSON lines, CSV or a Markdown table: a row of inference for each test.

    | model                  |     size |  params | backend | ngl |          test |            t/s |
    | llama 8B Q4_K - Medium | 4.58 GiB |  8.03 B | CUDA    |  99 |         pp512 | 5120.10 ± 9.80 |
    | llama 8B Q4_K - Medium | 4.58 GiB |  8.03 B | CUDA    |  99 | tg128 @ d4096 |  120.45 ± 0.30 |

pp is a prompt, tg a generation behind d tokens, pp+tg a run. Several devices hold layers each, one after the other.
"""

import csv
import re

from bottlenecks.facts.architectures import find_model, model
from bottlenecks.yours.logs import Found, figure, model_of_size, month, objects, written

NAME = "llama-bench"
TABLE = "inference"
COLUMN = re.compile(r"^\s*\|\s*model\s*\|.*\|\s*t/s\s*\|\s*$")
TEST = re.compile(r"^(?:pp\s*(\d+))?\+?(?:tg\s*(\d+))?(?:\s*@\s*d\s*(\d+))?$")
QUANT = re.compile(
    r"(I?Q\d\w*|TQ\d_\d|BF16|F16|F32|MXFP4|NVFP4)(?: - (Small|Medium|Large))?(?!.*(?:I?Q\d|F16|F32))", re.I
)
DEVICES = (  # as the backends announce them
    re.compile(r"^\s*Device \d+: (.+?), (?:compute capability|gfx)"),
    re.compile(r"ggml_vulkan: \d+ = (.+?) \("),
    re.compile(r"picking default device: (.+)$"),
)
MARKDOWN = {
    "ngl": "n_gpu_layers",
    "model": "model_type",
    "params": "model_n_params",
    "backend": "backends",
    "sm": "split_mode",
}
COUNTS = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
ON_CPU = ("CPU", "BLAS")
ALL = 99  # layers on the device, and more than most models have


def recognises(log):
    """Is a log one of these?"""
    text = log.text
    return any(COLUMN.match(line) for line in log.lines) or ("avg_ts" in text and "n_prompt" in text)


def read(log, given):
    """The rows of a log, as `Found`."""
    rows, told, left_out, unread = [], {}, [], []
    devices, date = _devices(log), month(log.text)
    for number, test in _tests(log):
        lengths = [figure(test.get(name, "")) for name in ("n_prompt", "n_gen", "n_depth")]
        rate = figure(test.get("avg_ts", ""))
        if not rate or lengths[0] is None or lengths[1] is None or not lengths[0] + lengths[1]:
            unread.append((number, f"test {test.get('test', '')} at {test.get('avg_ts', '')} t/s"))
            continue
        common, words = _common(test, given, devices)
        told[words] = told.get(words, 0) + 1
        reason = _unsaid(test, common["model"], *lengths)
        if reason:
            left_out.append(reason)
            continue
        common["software_date"] = month(str(test.get("test_time", ""))) or date
        rows.append(common | _phase(*lengths, rate))
    told = [f"{words} ({tests} tests)" for words, tests in told.items()]
    return Found(rows, told, left_out, unread)


def _phase(prompt, made, depth, rate):
    """Columns of a test: a prompt, a generation, or one behind the other; `rate` counts the tokens of both."""
    lengths = {"input_len": written(prompt or depth or 0), "output_len": written(made)}
    if not made:
        found = {"phase": "prefill", "latency_s": written(prompt / rate), "tokens_kind": "input"}
    elif not prompt:
        found = {"phase": "decode", "ms_per_output_token": written(1e3 / rate), "tokens_kind": "output"}
    else:
        seconds = (prompt + made) / rate
        found = {"phase": "end_to_end", "load": "static", "latency_s": written(seconds), "tokens_kind": "output"}
        rate = made / seconds
    return lengths | found | {"tokens_per_s": written(rate)}


def _common(test, given, devices):
    """(columns of a test that do not depend on its lengths, what was understood)."""
    kind = str(test.get("model_type", ""))
    params, digits = _params(test)
    name = given.get("model") or _named(str(test.get("model_filename", ""))) or _of_size(kind, params, digits)
    on_cpu = str(test.get("backends", "")) in ON_CPU or figure(test.get("n_gpu_layers", "")) == 0
    listed = [each.strip() for each in str(test.get("gpu_info", "")).split(",") if each.strip()] or devices
    listed = [str(test.get("cpu_info", ""))] if on_cpu else listed
    many = len(listed) if test.get("split_mode", "layer") != "none" else 1
    rows = test.get("split_mode") == "row"
    cache = str(test.get("type_k", "") or "f16")
    found = {
        "model": name or kind,
        "params": written(params) if digits is None else "",
        "chip": listed[0] if len(set(listed)) == 1 else "",
        "n_chips": written(many or None),
        "tp": written(many if rows and many else 1),
        "pp": written(1 if rows or not many else many),
        "weight_dtype": _quant(kind),
        "kv_dtype": "" if cache == "f16" else cache,
        "batch": "1",
        "software": "llama.cpp",
    }
    size = f", {params / 1e9:.3g} B parameters" if params else ""
    on = f" on {' and '.join(dict.fromkeys(listed))}" if any(listed) else ""
    return found, f"{kind}{size}: {'taken for ' + name if name else 'no model of the catalog'}{on}"


def _unsaid(test, name, prompt, made, depth):
    """What of a test no column can say, '' where there is nothing."""
    if depth and prompt:
        return "a prompt behind tokens that are in the cache"
    layers, on_device = figure(test.get("n_gpu_layers", "")), figure(test.get("n_cpu_moe", ""))
    known = model(name).layers if find_model(name) else ALL
    if on_device or (layers is not None and 0 < layers < min(known, ALL)):
        return "layers that are partly on the processor"
    return ""


# ---- names and sizes


def _params(test):
    """(parameters, digits that are printed or None for all)."""
    text = str(test.get("model_n_params", ""))
    found = re.fullmatch(r"([\d.]+) ([KMBT])", text.strip())
    if not found:
        return figure(text), None
    return float(found[1]) * COUNTS[found[2]], len(found[1].replace(".", ""))


def _named(file):
    """The catalog's model that a file is named after, '' where none is."""
    stem = re.split(r"[/\\]", file)[-1].removesuffix(".gguf")
    stem = re.sub(r"-\d{5}-of-\d{5}$", "", stem)
    stem = re.sub(r"[-._](?:UD-)?(?:I?Q\d|F16|BF16|F32|FP16|MXFP4).*$", "", stem, flags=re.I)
    return next((find_model(each) for each in (stem, stem.removeprefix("Meta-")) if stem and find_model(each)), "")


def _of_size(kind, params, digits):
    return model_of_size(params, kind, digits) if params and kind else ""


def _quant(kind):
    """How weights are stored, as files are named: "Q4_K - Medium" is Q4_K_M.

    >>> _quant("llama 8B Q4_K - Medium"), _quant("gpt-oss 20B MXFP4 MoE"), _quant("llama 7B mostly Q4_0")
    ('Q4_K_M', 'MXFP4', 'Q4_0')
    """
    found = QUANT.search(kind)
    return found[1] + (f"_{found[2][0].upper()}" if found[2] else "") if found else ""


# ---- the four forms


def _tests(log):
    """(line number, {field of the JSON form: value}) of each test."""
    head = next(
        (i for i, line in enumerate(log.lines) if "avg_ts" in line and "n_prompt" in line and '{"' not in line), None
    )
    if head is not None and "," in log.lines[head] and ":" not in log.lines[head]:
        names = next(csv.reader([log.lines[head]]))
        body = [(i, cells) for i, cells in enumerate(csv.reader(log.lines[head + 1 :]), head + 2)]
        return [(i, dict(zip(names, cells, strict=True))) for i, cells in body if len(cells) == len(names)]
    found = [(1, each) for each in objects(log.text) if "avg_ts" in each] if '"avg_ts"' in log.text else []
    return found or list(_table(log))


def _table(log):
    """The tests of Markdown tables."""
    names = []
    for number, line in enumerate(log.lines, 1):
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if COLUMN.match(line):
            names = [MARKDOWN.get(cell, cell) for cell in cells]
        elif names and len(cells) == len(names) and not set(line) <= set("|-: "):
            test = dict(zip(names, cells, strict=True))
            if not test["model_type"]:
                continue
            lengths = TEST.match(test["test"])
            fields = dict(zip(("n_prompt", "n_gen", "n_depth"), lengths.groups("0"), strict=True)) if lengths else {}
            yield number, test | fields | {"avg_ts": test["t/s"]}


def _devices(log):
    """The devices that a program announces before its table."""
    return [found[1].strip() for line in log.lines for each in DEVICES if (found := each.search(line))]
