"""The table of scripts/gpu_check: what was measured, the ratios, and the predictions of the performance plan, one by one."""
import json
import math


def ms(seconds):
    return f"{seconds * 1e3:.3f} ms"


def ratio(values, over, under):
    a, b = values.get(over), values.get(under)
    return a / b if a and b else None


def convolutions(values):
    """[(name, ours, cudnn, cudnn / ours)]: above 1 ours is faster."""
    rows = []
    for key in values:
        if key.startswith("conv.") and key.endswith(".ours"):
            name = key[len("conv."):-len(".ours")]
            r = ratio(values, f"conv.{name}.cudnn", key)
            if r:
                rows.append((name, values[key], values[f"conv.{name}.cudnn"], r))
    return rows


def geometric_mean(numbers):
    return math.exp(sum(math.log(n) for n in numbers) / len(numbers))


class Prediction:
    """What the plan expects, as a range of one number; `value` of None is not measured."""

    def __init__(self, text, value, low, high, show=lambda v: f"{v:.2f}"):
        self.text, self.value, self.low, self.high, self.show = text, value, low, high, show

    def answer(self):
        if self.value is None:
            return "not measured"
        inside = self.low <= self.value <= self.high
        return f"{self.show(self.value)}: {'as predicted' if inside else 'not as predicted'}"


def predictions(values):
    step = "tail.28px.b128."
    ours, guard = values.get(step + "native.graph"), values.get("guard.release")
    ratios = [r for *_, r in convolutions(values)]
    infinite = math.inf
    giga = lambda v: f"{v / 1e9:.1f} G values/s"
    return [
        Prediction("gap between graph nodes: 1.0 to 1.3 us", values.get("ceiling.graph_node_gap"), 1.0e-6, 1.3e-6, lambda v: f"{v * 1e6:.2f} us"),
        Prediction("PyTorch eager, tail at 28 px, batch 128: 1.5 to 2.5 ms", values.get(step + "torch.eager"), 1.5e-3, 2.5e-3, ms),
        Prediction("PyTorch with a CUDA graph, the same: 0.9 to 1.1 ms", values.get(step + "torch.graph"), 0.9e-3, 1.1e-3, ms),
        Prediction("ours as a graph, the same: 0.75 to 0.95 ms", ours, 0.75e-3, 0.95e-3, ms),
        Prediction("mma.sync alone: 60 to 65 % of the library's product rate", ratio(values, "ceiling.mma_bf16", "ceiling.library_gemm_bf16"), 0.60, 0.65),
        Prediction("PyTorch eager / ours: at least 2", ratio(values, step + "torch.eager", step + "native.graph"), 2.0, infinite),
        Prediction("PyTorch with a CUDA graph / ours: at least 1.1", ratio(values, step + "torch.graph", step + "native.graph"), 1.1, infinite),
        Prediction("tail built from cuDNN / ours, both as graphs: at least 1.0", ratio(values, step + "cudnn.graph", step + "native.graph"), 1.0, infinite),
        Prediction("convolutions, cuDNN / ours, geometric mean: at least 0.9", geometric_mean(ratios) if ratios else None, 0.9, infinite),
        Prediction("convolutions, the smallest ratio: at least 0.75", min(ratios) if ratios else None, 0.75, infinite),
        Prediction("guard: at least 25 G values/s", guard, 25e9, infinite, giga),
    ]


def guard_limit(values):
    """Which limit the guard is near: a value reads 4 bytes, writes 1, and takes 8 bytes of keystream."""
    copy, guard, to_host = values.get("ceiling.copy"), values.get("guard.release"), values.get("guard.release_to_host")
    if not (copy and guard and to_host):
        return "not measured"
    memory = copy / 5  # read 4, write 1
    if to_host < 0.7 * guard:
        return f"the copy to the host ({to_host / 1e9:.1f} G values/s with it, {guard / 1e9:.1f} without)"
    if guard > 0.5 * memory:
        return f"memory ({guard / memory:.0%} of what the copy bandwidth allows)"
    return f"integer arithmetic of ChaCha20 and the table search (memory would allow {memory / 1e9:.0f} G values/s)"


def study(result):
    """The part's own words, once the run with the client on cudnn was measured. Only what was found to differ is an answer: a run that
    failed, or a file that is missing, is none."""
    text = result["parts"].get("study", "not measured")
    if "study" in result["differences"]:
        return "not as predicted: " + "; ".join(result["differences"]["study"])
    if text.startswith("FAILED"):
        return f"not measured: {text}"
    measured = result["measured"].get("study.cudnn_native.loss_difference", {}).get("value") is not None
    return f"as predicted: {text}" if measured and not text.startswith("not measured") else "not measured"


def op_tests(result):
    texts = [result["parts"].get(part, "not measured") for part in ("tests", "memcheck")]
    found = [d for part in ("tests", "memcheck") for d in result["differences"].get(part, [])]
    if found:
        return "not as predicted: " + "; ".join(found)
    if any(t.startswith("FAILED") for t in texts):
        return "not measured: " + "; ".join(texts)
    return "as predicted: " + "; ".join(texts) if all(" passed" in t for t in texts) else "not measured"


def markdown(result):
    values = {k: v["value"] for k, v in result["measured"].items() if isinstance(v.get("value"), (int, float))}
    lines = [f"# {result['device']}", "", f"{result['date']}, driver {result['driver']}, made by `scripts/gpu_check{result['options']}`. "
             "Times are medians, by device events, inputs in turn.", "", "## Parts", "", "| part | result |", "| --- | --- |"]
    lines += [f"| {name} | {text} |" for name, text in result["parts"].items()]
    lines += ["", "## Predictions", "", "| prediction | answer |", "| --- | --- |"]
    lines += [f"| {p.text} | {p.answer()} |" for p in predictions(values)]
    lines += [f"| the guard's limit | {guard_limit(values)} |", f"| op tests on the device pass, memcheck clean | {op_tests(result)} |",
              f"| a study in `simulate`, client on cudnn, server on native: guard output as the CPU's, losses within tolerance | {study(result)} |", "", "## Ceilings and steps", "", "| what | value |", "| --- | --- |"]
    for key, value in values.items():
        if not key.startswith("conv."):
            lines.append(f"| {key} | {ms(value) if result['measured'][key]['unit'] == 's' else f'{value:.4g} ' + result['measured'][key]['unit']} |")
    if result["cudnn"]:
        lines += ["", "## Calls of the cudnn backend", "", "Where the library has nothing for an operation, our kernel computes it.", "",
                  "| part | function | by the library | by ours |", "| --- | --- | --- | --- |"]
        lines += [f"| {part} | {name} | {served} | {ours} |" for part, calls in result["cudnn"].items() for name, (served, ours) in calls.items()]
    rows = convolutions(values)
    if rows:
        lines += ["", "## Convolutions (bf16): cuDNN's best deterministic algorithm / ours", "", "| convolution | ours | cuDNN | ratio |", "| --- | --- | --- | --- |"]
        lines += [f"| {name} | {a * 1e6:.1f} us | {b * 1e6:.1f} us | {r:.2f} |" for name, a, b, r in rows]
    errors = {k: v["error"] for k, v in result["measured"].items() if "error" in v}
    if errors:
        lines += ["", "## Failed", ""] + [f"- {k}: {v}" for k, v in errors.items()]
    return "\n".join(lines) + "\n"


def write(result, folder):
    name = "gpu_" + "".join(c if c.isalnum() else "_" for c in result["device"]).strip("_").lower()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    path = folder / f"{name}.md"
    path.write_text(markdown(result), encoding="utf-8")
    return path
