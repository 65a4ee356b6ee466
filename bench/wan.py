"""What micro-batches and several clients save on a line with a delay: configs/bench/wan.yaml as a server and its clients, over
CURVE, through sutura-delay-proxy. Rounds alternate, medians are compared.

  one         1 client, the batch in one piece
  four        1 client, the same batch in M micro-batches: the same update, to the rounding of its sums
  window      1 client, a batch of one micro-batch's size, in one piece: a window of 1 where `four` has one of M
  two, two_four   as one and four with a second client, who has as many records again and a line of its own

A step with M micro-batches takes, after the formula of GPipe's fill and drain with the line as two more stages (t in seconds of one
micro-batch: client, server, wire = bytes / rate; where the client is slowest this is RTT + M t_client + t_server, of which the
client idles RTT + t_server)

  step(M) = RTT + t_client + t_up + t_server + t_down + (M - 1) max(t_client, t_up, t_server, t_down)

and step(1) / step(M) bounds what M micro-batches win. The times are the shortest measured in `one`, divided by M; the bytes are
counted.
"""
import argparse
import json
import os
import pathlib
import statistics
import sys
import tempfile

from programs import BIN, ROOT, Programs, metrics, need, speed, write_pictures

STUDY = ROOT / "configs" / "bench" / "wan.yaml"
SITES = ["hospital_a", "hospital_b"]
GOAL, SHARE_OF_BOUND = 1.7, 0.9


def summary(folder):
    text = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    if "waiting_seconds" not in text:
        sys.exit(f"bench: {folder.name}/summary.json has no waiting_seconds: the build is older than this script")
    return text


def busy(folder, steps):
    """Seconds per step in which a party did not wait for a message."""
    s = summary(folder)
    return (s["training_seconds"] - s["waiting_seconds"]) / steps


def idle(folder):
    """Share of its training time in which a party waited for messages."""
    s = summary(folder)
    return s["waiting_seconds"] / s["training_seconds"]


class Wan:
    """One round of one arm, in a fresh folder."""

    def __init__(self, folder, arguments):
        self.line = ["--rtt-ms", str(arguments.rtt_ms), "--mbit", str(arguments.mbit)]
        self.batch, self.parts, self.steps, self.epochs = arguments.batch, arguments.micro_batches, arguments.steps, arguments.epochs
        self.programs = Programs(folder, SITES, arguments.programs)
        self.pictures = {}
        for sites in (1, 2):
            self.pictures[sites] = folder / f"pictures_{sites}.npz"
            write_pictures(self.pictures[sites], sites * self.batch * self.steps)
        self.arms = {"one": (1, self.batch, 1), "four": (1, self.batch, self.parts), "window": (1, self.batch // self.parts, 1),
                     "two": (2, 2 * self.batch, 1), "two_four": (2, 2 * self.batch, self.parts)}

    def run(self, arm):
        sites, batch, parts = self.arms[arm]
        options = [f"data.arrays.path={self.pictures[sites]}", f"data.sites=[{', '.join(SITES[:sites])}]",
                   f"training.batch_size={batch}", f"training.micro_batches={parts}", f"training.epochs={self.epochs}"]
        output = self.programs.study(STUDY, options, SITES[:sites], self.line)
        steps = self.epochs * sites * self.batch * self.steps // batch
        traffic = metrics(output / SITES[0])[-1]
        return {"samples_per_second": speed(output / "server"), "server_idle": idle(output / "server"),
                "client_idle": idle(output / SITES[0]), "server_seconds": busy(output / "server", steps),
                "client_seconds": busy(output / SITES[0], steps), "bytes_up": traffic["bytes_up"] / steps,
                "bytes_down": traffic["bytes_down"] / steps}


def step_seconds(rtt, times, parts):
    """The formula above; `times` are those of the whole batch."""
    each = [t / parts for t in times]
    return rtt + sum(each) + (parts - 1) * max(each)


def middle(rounds, arm, figure):
    return statistics.median(r[figure] for r in rounds[arm])


def shortest(rounds, arm, figure):
    """Of computing times: on a shared machine whatever makes them longer is somebody else's work."""
    return min(r[figure] for r in rounds[arm])


def report(rounds, arguments):
    """Prints the tables; returns what was compared."""
    print(f"\n{'arm':<10}{'samples/s':>10}{'lowest':>9}{'highest':>9}{'server idle':>13}{'client idle':>13}")
    for arm, all_rounds in rounds.items():
        speeds = [r["samples_per_second"] for r in all_rounds]
        print(f"{arm:<10}{statistics.median(speeds):>10.1f}{min(speeds):>9.1f}{max(speeds):>9.1f}"
              f"{middle(rounds, arm, 'server_idle'):>13.3f}{middle(rounds, arm, 'client_idle'):>13.3f}")

    rtt, rate, parts = arguments.rtt_ms / 1e3, arguments.mbit * 125e3, arguments.micro_batches
    times = {"client": shortest(rounds, "one", "client_seconds"), "up": middle(rounds, "one", "bytes_up") / rate,
             "server": shortest(rounds, "one", "server_seconds"), "down": middle(rounds, "one", "bytes_down") / rate}
    print(f"\none step of {arguments.batch} records: {middle(rounds, 'one', 'bytes_up'):,.0f} bytes up, "
          f"{middle(rounds, 'one', 'bytes_down'):,.0f} down; in seconds: "
          + ", ".join(f"{name} {t:.3f}" for name, t in times.items()) + f", RTT {rtt:.3f}")
    steps = {m: step_seconds(rtt, times.values(), m) for m in (1, parts)}
    bound = steps[1] / steps[parts]
    each = max(times.values()) / parts
    print(f"step(1) = {rtt:.3f} + {sum(times.values()):.3f} = {steps[1]:.3f} s; step({parts}) = {rtt:.3f} + "
          f"{sum(times.values()) / parts:.3f} + {parts - 1} * {each:.3f} = {steps[parts]:.3f} s; measured "
          f"{arguments.batch / middle(rounds, 'one', 'samples_per_second'):.3f} and "
          f"{arguments.batch / middle(rounds, 'four', 'samples_per_second'):.3f} s")
    for m in (1, parts):
        print(f"idle share of the client by the formula, {m} micro-batch{'es' * (m > 1)}: {1 - times['client'] / steps[m]:.3f}")

    ratio = middle(rounds, "four", "samples_per_second") / middle(rounds, "one", "samples_per_second")
    needed = min(GOAL, SHARE_OF_BOUND * bound)
    holds = "1.7 times" if ratio >= GOAL else "0.9 of the bound" if ratio >= needed else "NEITHER LINE"
    rows = [{"line": f"{parts} micro-batches / 1, same batch", "value": ratio, "needed": needed, "bound": bound,
             "passed": ratio >= needed, "holds": holds}]
    print(f"\n{parts} micro-batches against one, same batch: {ratio:.2f} times the samples/s; bound {bound:.2f}; "
          f"{'PASS' if ratio >= needed else 'SHORT'}: {holds} (needed {needed:.2f})")
    if "window" in rounds:
        of_window = middle(rounds, "four", "samples_per_second") / middle(rounds, "window", "samples_per_second")
        limit = parts * step_seconds(rtt, [t / parts for t in times.values()], 1) / steps[parts]
        print(f"a window of {parts} micro-batches against a window of one of the same size: {of_window:.2f} times; bound {limit:.2f}")
        rows.append({"line": f"window of {parts} / window of 1", "value": of_window, "bound": limit})
    for alone, together in (("one", "two"), ("four", "two_four")):
        if alone in rounds and together in rounds:
            before, after = middle(rounds, alone, "server_idle"), middle(rounds, together, "server_idle")
            print(f"idle share of the server, {alone}: 1 client {before:.3f}, 2 clients {after:.3f}; {'PASS' if after < before else 'SHORT'}")
            rows.append({"line": f"server idle, {together} / {alone}", "value": after, "needed": before, "passed": after < before})
    return rows


def main(arguments):
    parser = argparse.ArgumentParser(prog="bench wan", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog="Builds nothing: run scripts/build first. Exit status 1 if a line is missed.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rtt-ms", type=float, default=80.0)
    parser.add_argument("--mbit", type=float, default=100.0)
    parser.add_argument("--batch", type=int, default=256, help="records of a hospital in a step")
    parser.add_argument("--micro-batches", type=int, default=4)
    parser.add_argument("--steps", type=int, default=8, help="steps of an epoch; the first epoch warms up and does not count")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--skip", action="append", default=[], choices=["window", "two", "two_four"], help="leave an arm out")
    parser.add_argument("--programs", type=pathlib.Path, default=BIN, metavar="FOLDER", help="of the build (default: that of build/release)")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="store all rounds and what was compared")
    arguments = parser.parse_args(arguments)
    if arguments.epochs < 2 or arguments.micro_batches < 2 or arguments.batch % arguments.micro_batches:
        parser.error("at least 2 epochs and 2 micro-batches, which divide the batch")
    need("sutura", "sutura-server", "sutura-client", "sutura-delay-proxy", folder=arguments.programs)
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} CPUs, load {load:.1f} at the start" + ("; NOT IDLE: figures will be low and noisy" if load > 0.5 else ""))
    with tempfile.TemporaryDirectory(prefix="sutura-wan-") as folder:
        wan = Wan(pathlib.Path(folder), arguments)
        rounds = {arm: [] for arm in wan.arms if arm not in arguments.skip}
        for number in range(1, arguments.rounds + 1):
            for arm, done in rounds.items():
                done.append(wan.run(arm))
                print(f"round {number}/{arguments.rounds}  {arm:<9}{done[-1]['samples_per_second']:9.1f} samples/s", file=sys.stderr)
    rows = report(rounds, arguments)
    if arguments.json:
        settings = {k: v for k, v in vars(arguments).items() if k not in ("json", "programs")}
        arguments.json.write_text(json.dumps({"rounds": rounds, "compared": rows, "settings": settings, "load": load}, indent=1) + "\n",
                                  encoding="utf-8")
    return 0 if all(row.get("passed", True) for row in rows) else 1
