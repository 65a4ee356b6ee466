"""Our programs as scripts/bench runs them: keys, pictures, a server and its clients as processes, and a slow line between them."""
import contextlib
import json
import os
import pathlib
import random
import re
import struct
import subprocess
import sys
import time
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
BIN = ROOT / "build" / "release" / "bin"
ALLOW_LIST = ROOT / "configs" / "egress" / "research_clear.yaml"  # random pictures
LONGEST_RUN = 1200  # seconds
ALLOW_LIST = ROOT / "configs" / "egress" / "research_clear.yaml"  # the pictures are random


def need(*programs, folder=BIN):
    for program in programs:
        if not (folder / program).is_file():
            sys.exit(f"bench: {folder / program} is not there: run scripts/build")


def write_pictures(path, records):
    """An .npz of random 28 x 28 pictures and labels, without needing NumPy."""
    chance = random.Random(1)

    def npy(shape, data):
        header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape!r}, }}"
        header += " " * (-(len(header) + 11) % 64) + "\n"
        return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data

    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("pictures.npy", npy((records, 28, 28), chance.randbytes(records * 28 * 28)))
        archive.writestr("labels.npy", npy((records, 1), bytes(i % 2 for i in range(records))))


def metrics(folder):
    """The epochs of one party's run."""
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def speed(folder):
    """Samples per second of the training steps of all epochs but the first, from the metrics of the party with the loss."""
    for path in sorted(pathlib.Path(folder).rglob("metrics.jsonl")):
        epochs = metrics(path.parent)
        if len(epochs) > 1 and epochs[-1]["train_loss"] is not None and epochs[-1]["seconds"] > 0:
            late = epochs[1:]
            return sum(e["records"] for e in late) / sum(e["seconds"] for e in late)
    sys.exit(f"bench: no metrics with timings in {folder}")


class Running:
    """A program in the background, its output in a log; killed if the block that started it ends before the program."""

    def __init__(self, command, log):
        self.name = pathlib.Path(command[0]).name
        self.log = log
        with open(log, "wb") as out:
            self.process = subprocess.Popen([str(c) for c in command], stdout=out, stderr=out, stdin=subprocess.DEVNULL,
                                            env=os.environ | {"SUTURA_EGRESS": str(ALLOW_LIST)})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def text(self):
        return self.log.read_text(errors="replace")

    def says(self, pattern):
        """The first group of the first match in its output, awaited for 30 s."""
        for _ in range(300):
            found = re.search(pattern, self.text(), re.MULTILINE)
            if found:
                return found.group(1)
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        sys.exit(f"bench: {self.name} did not start\n{self.text()}")

    def expect_success(self, timeout):
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            sys.exit(f"bench: {self.name} is still running after {timeout} s\n{self.text()}")
        if status != 0:
            sys.exit(f"bench: exit status {status} of {self.name}\n{self.text()}")


class Programs:
    """Keys for a server and its sites in `folder`, and runs of studies with them."""

    def __init__(self, folder, sites, programs=BIN):
        self.folder = folder
        self.programs = programs
        self.sites = sites
        self.keys = folder / "keys"
        self.runs = 0
        self.run(["sutura", "keys", "generate", "server", "--folder", self.keys])
        self.run(["sutura", "keys", "generate", *sites, "--folder", self.keys, "--authorise", self.keys / "authorised"])

    def run(self, command):
        """A program of ours, by name, to its end."""
        with Running([self.programs / command[0], *command[1:]], self.folder / "log.txt") as program:
            program.expect_success(LONGEST_RUN)

    def output(self):
        """A fresh folder for a run."""
        self.runs += 1
        folder = self.folder / f"run_{self.runs:03d}"
        folder.mkdir()
        return folder

    def study(self, study, options, sites=None, line=None):
        """One run of a study as processes, over CURVE on the loopback interface; `line` ("--rtt-ms", "80", ...): its clients dial
        through sutura-delay-proxy. Returns its output folder."""
        output = self.output()
        keys = [f"connection.server_public_key={self.keys}/server.public", f"connection.authorised={self.keys}/authorised"]

        def party(program, name, *more):
            return [self.programs / program, study, *more, *keys, f"connection.secret_key={self.keys}/{name}.secret", *options,
                    "--output", output]

        with contextlib.ExitStack() as running:
            server = running.enter_context(Running(party("sutura-server", "server", "connection.endpoint=tcp://127.0.0.1:*"),
                                                   output / "server.log"))
            endpoint = server.says(r"^listening on (tcp:[^;]*);")
            if line:
                proxy = running.enter_context(Running([self.programs / "sutura-delay-proxy", "--to", endpoint.removeprefix("tcp://"), *line],
                                                      output / "proxy.log"))
                endpoint = "tcp://" + proxy.says(r"^listening on ([^;]*);")
            clients = [running.enter_context(Running(party("sutura-client", site, "--site", site, "--egress", ALLOW_LIST,
                                                           f"connection.endpoint={endpoint}"), output / f"{site}.log"))
                       for site in sites or self.sites]
            for client in clients:
                client.expect_success(LONGEST_RUN)
            server.expect_success(LONGEST_RUN)
        return output
