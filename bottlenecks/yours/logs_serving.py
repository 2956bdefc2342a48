"""Reports of `vllm bench serve` and of SGLang's bench_serving, as text and as JSON: a row of inference for each.

    ============ Serving Benchmark Result ============        {"model_id": "...", "completed": 200,
    Successful requests:                     200               "request_rate": "inf", "max_concurrency": 32,
    Total input tokens:                      204800            "total_input_tokens": 204800, ...}
    Mean TPOT (ms):                          12.45

Requests that come as fast as they can make a saturated server. Those that come at a rate make steps of as many
sequences as were at work in the mean: tokens a second times seconds a token (Little's law).
"""

import re

from bottlenecks.facts.doors import shown
from bottlenecks.models.software import find_stack
from bottlenecks.yours.logs import Found, figure, model_called, month, objects, written

NAME = "serve"
TABLE = "inference"
TITLE = re.compile(r"={3,}\s*Serving Benchmark Result\s*={3,}")
CLOSE = re.compile(r"\s*={10,}\s*")
LINE = re.compile(r"^\s*([A-Za-z][^:]*?)\s*:\s+(\S.*?)\s*$")
FIELDS = {  # of a report, without case -> the name in the JSON file
    "backend": "backend",
    "successful requests": "completed",
    "maximum request concurrency": "max_concurrency",
    "max request concurrency": "max_concurrency",
    "request rate configured (rps)": "request_rate",
    "traffic request rate": "request_rate",
    "total input tokens": "total_input_tokens",
    "total generated tokens": "total_output_tokens",
    "output token throughput (tok/s)": "output_throughput",
    "mean ttft (ms)": "mean_ttft_ms",
    "mean tpot (ms)": "mean_tpot_ms",
}
NEEDED = ("completed", "total_input_tokens", "total_output_tokens", "output_throughput")
STATED = {  # in a command line or a dump of its arguments, before a report
    "model": re.compile(r"(?:--model[= ]|\bmodel=)['\"]?([^\s'\",)]+)"),
    "max_concurrency": re.compile(r"(?:--max-concurrency[= ]|\bmax_concurrency=)(\d+)"),
    "request_rate": re.compile(r"(?:--request-rate[= ]|\brequest_rate=)([\d.]+|inf)"),
    "tp": re.compile(r"(?:--tensor-parallel-size[= ]|\btensor_parallel_size=|--tp(?:-size)?[= ])(\d+)"),
    "backend": re.compile(r"(?:--backend[= ]|\bbackend=)['\"]?([^\s'\",)]+)"),
}
ALWAYS = ("model", "tp", "backend")  # that hold for reports behind it too
AT_ONCE = 256  # requests that a server takes in at once, whatever it is: fewer are one batch


def recognises(log):
    """Is a log one of these?"""
    return any(TITLE.search(line) for line in log.lines) or ('"output_throughput"' in log.text and bool(_reports(log)))


def read(log, given):
    """The rows of a log, as `Found`."""
    rows, told, unread = [], [], []
    for number, report in _reports(log):
        missing = [field for field in NEEDED if not figure(report.get(field, "")) and field != "total_input_tokens"]
        if missing:
            unread.append((number, f"a report without {', '.join(missing)}"))
            continue
        row, words = _row(report, given)
        rows.append(row)
        told.append(words)
    return Found(rows, told, [], unread)


def _reports(log):
    """(line number, fields by their JSON names) of each report."""
    starts = [i for i, line in enumerate(log.lines) if TITLE.search(line)]
    if not starts:
        found = (each for each in objects(log.text) if "output_throughput" in each)
        return [(1, {name: str(value) for name, value in each.items()}) for each in found]
    found, known, before = [], {}, 0
    for start, end in zip(starts, [*starts[1:], len(log.lines)], strict=True):
        closes = next((i for i in range(start + 1, end) if CLOSE.fullmatch(log.lines[i])), end)
        report = known | _stated(log.lines[before:start]) | _fields(log.lines[start + 1 : closes])
        known = {name: report[name] for name in ALWAYS if name in report}
        found.append((start + 1, report | {"date": month("\n".join(log.lines[before:closes]))}))
        before = closes
    return found


def _stated(lines):
    """What stands before a report: a command line, a dump of its arguments, fields of its own."""
    found = _fields(lines)
    for line in lines:
        found |= {name: told[1] for name, pattern in STATED.items() if (told := pattern.search(line))}
    return found


def _fields(lines):
    """Fields by their JSON names."""
    found = {}
    for line in lines:
        told = LINE.match(line)
        name = FIELDS.get(told[1].casefold()) if told else None
        if name and told[2] != "None":
            found[name] = told[2]
    return found


def _row(report, given):
    """(row, what was understood) of a report."""
    requests, seconds_each = figure(report["completed"]), figure(report.get("mean_tpot_ms", ""))
    tokens = [figure(report.get(name, "")) or 0.0 for name in ("total_input_tokens", "total_output_tokens")]
    rate = str(report.get("request_rate", "inf")).casefold().removesuffix(".0")
    made = figure(report["output_throughput"])
    model, format = model_called(given.get("model") or report.get("model_id") or report.get("model") or "")
    most = figure(report.get("max_concurrency", ""))
    saturated = rate in ("inf", "infinity") or given.get("load") == "saturated"
    if saturated:
        batch = min(most or requests, requests) if most or requests < AT_ONCE else None
        words = f"requests without end, {written(batch)} at once" if batch else "requests without end, as many as fit"
    else:
        batch = max(round(made * seconds_each / 1e3), 1) if seconds_each else None
        words = f"{rate} requests a second: steps of {written(batch) or 'unknown'} sequences at work in the mean"
    stack = find_stack(str(report.get("backend", "")))
    row = {
        "model": model,
        "tp": written(figure(report.get("tp", "") or report.get("tensor_parallel_size", ""))),
        "weight_dtype": format,
        "batch": written(batch),
        "input_len": written(round(tokens[0] / requests)),
        "output_len": written(round(tokens[1] / requests)),
        "phase": "end_to_end" if saturated else "decode",
        "load": "saturated" if saturated else "",
        "ms_per_output_token": written(seconds_each),
        "ttft_s": written((figure(report.get("mean_ttft_ms", "")) or 0) / 1e3 or None),
        "tokens_per_s": written(made),
        "tokens_kind": "output",
        "software": stack,
        "software_date": month(report.get("date", "")) or report.get("date", "")[:7],
    }
    lengths = f"{row['input_len']} tokens in, {row['output_len']} out in the mean of {requests:.0f} requests"
    backend = report.get("backend", "")
    server = stack or "a server that is not named" + (f" (backend {shown(backend)})" if backend else "")
    return row, f"{model or 'a model that is not named'} on {server}: {lengths}; {words}"
