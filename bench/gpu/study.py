"""One study on the CPU and on devices, by YAML alone, and what must agree between two runs of it."""
import json
import math
import os
import pathlib
import tempfile

import biopsies
import cudnn_report
import pack

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
STUDIES = ("devices", "devices_guarded")
PARTIES = {"hospital_a": "hospital", "hospital_b": "hospital", "server": "server"}

# Of a loss, relative. Both runs compute in float32 and differ in the order of sums. The longest sums of the study have a batch's 32
# records of 30 points, so they round to sqrt(960) 2^-24 = 1.8e-6 of their terms; ten layers and the loss, independent of each other,
# make that 6e-6. An update carries the error of its gradient into every later step, and plain gradient descent at this rate does not
# enlarge it: 33 steps add up to 33 * 6e-6 = 2e-4. Between the CPU's two backends, and under the host SIMT executor, 1e-7 was seen;
# products with 10 fraction bits (tf32, which nobody asked for here) differ by 1e-3 each.
TOLERANCE = 2e-4
UNUSABLE = "backend cannot be used here"  # how every program of ours says that a machine lacks what a backend needs


def files(folder, compute):
    """The two studies with parties on `compute`, {party: backend}: files that include the shipped ones and add only this."""
    made, shipped = [], os.path.relpath(ROOT / "configs" / "bench", folder.resolve())
    for name in STUDIES:
        path = folder / f"{name}.yaml"
        parties = "".join(f"  {party}: {{backend: {backend}, fallback: none}}\n" for party, backend in compute.items())
        path.write_text(f"include: [{shipped}/{name}.yaml]\ndata: {{arrays: {{path: biopsies.npz}}}}\ncompute:\n{parties}",
                        encoding="utf-8")
        made.append(path)
    biopsies.write(ROOT / "data" / "wdbc.csv", folder / "biopsies.npz")
    return made


def read(folder):
    """What a finished run says of itself."""
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    return {"epochs": [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()],
            "test_loss": summary["loss"], "privacy": summary["privacy"], "egress": summary["egress"], "failed": summary["failed"],
            "backends": {p: json.loads((folder / p / "summary.json").read_text(encoding="utf-8"))["backend"] for p in PARTIES}}


def losses(run):
    return [v for e in run["epochs"] for v in (e["train_loss"], e["validation"]["loss"])] + [run["test_loss"]]


def loss_difference(cpu, device):
    """The largest one, relative; infinite where one is not finite or missing."""
    pairs = list(zip(losses(cpu), losses(device)))
    if not pairs or len(cpu["epochs"]) != len(device["epochs"]) or not all(math.isfinite(v) for pair in pairs for v in pair):
        return math.inf
    return max(abs(b - a) / abs(a) for a, b in pairs)


def differences(cpu, device, compute):
    """[sentence]: what a run with parties on `compute` does not have in common with the CPU's. The bytes down hold figures as text, as
    long as their digits, and are left out."""
    found = [f"{party} computed on: {device['backends'][party]}" for party, kind in PARTIES.items()
             if not device["backends"][party].startswith(f"{compute[kind]}, f32, ") or ";" in device["backends"][party]]
    found += [f"{key} differs" for key in ("privacy", "egress", "failed") if device[key] != cpu[key]]
    for key in ("records", "epsilon", "bytes_up"):
        if [e[key] for e in device["epochs"]] != [e[key] for e in cpu["epochs"]]:
            found.append(f"{key} of the epochs differs")
    difference = loss_difference(cpu, device)
    if cpu["privacy"]["regime"] == "none":
        if not difference <= TOLERANCE:
            found.append(f"losses differ by {difference:.2g}, allowed is {TOLERANCE:g}")
    elif difference == math.inf:  # noise differs from run to run, and losses with it
        found.append("losses are missing or not finite")
    return found


def simulate(run, start, folder, compute):
    """{study: (what its run says, None where it failed; its output)}, of both studies with parties on `compute`. run(command, limit,
    environment) is (exit status, output)."""
    command, environment = start
    folder.mkdir()
    runs = {}
    for file in files(folder, compute):
        out = folder / file.stem
        status, output = run([*command, "simulate", file, "--quiet", "--output", out], 90, environment)
        runs[file.stem] = (read(out) if status == 0 else None, output)
        if status != 0:  # the other one will hardly do better, and the machine is lent by the minute
            runs.update({name: (None, output) for name in STUDIES if name not in runs})
            break
    return runs


def compare(part, run, programs, program, clients, lacking):
    """Runs the studies on the CPU and with a client on each of `clients` and the server on native. The part gets what differs, and what
    went wrong otherwise; a backend in `lacking` may be one that this machine cannot use. Yields (client, the largest difference of a
    loss, relative) as they are measured."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        start = pack.start(programs, program, folder / "programs")
        on_cpu = simulate(run, start, folder / "cpu", {"hospital": "reference", "server": "reference"})
        if any(done is None for done, _ in on_cpu.values()):
            part.faults.append("a run on the CPU failed: there is nothing to compare with")
            return
        for client in clients:
            compute = {"hospital": client, "server": "native"}
            runs = simulate(run, start, folder / client, compute)
            unusable = [line for _, output in runs.values() for line in output.splitlines() if UNUSABLE in line]
            if client in lacking and unusable:
                part.remarks.append(f"client on {client} not measured: {unusable[0].removeprefix('error: ')}")
                continue
            for key, (done, output) in runs.items():
                where = f"client on {client}: {key}"
                if done is None:
                    part.faults.append(f"{where}: a run failed")
                    continue
                part.differences += [f"{where}: {d}" for d in differences(on_cpu[key][0], done, compute)]
                if client == "cudnn":
                    part.library(where, output, cudnn_report.Report.idle_sessions)
            if runs["devices"][0] is not None:
                yield client, loss_difference(on_cpu["devices"][0], runs["devices"][0])
