#!/usr/bin/python3
"""studies_test.py SOURCE PROGRAM: every study of configs/ runs, learns more than chance, and sends what its header says."""
import csv
import json
import math
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import unittest

try:
    import tiny_data
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

SOURCE, PROGRAM = (pathlib.Path(a).resolve() for a in sys.argv[1:3])
CONFIGS = SOURCE / "configs"

# What passes between parties, weights at the end of rounds included: (from, to, what).
UP_DOWN = {("hospital", "server", "activation"), ("server", "hospital", "gradient")}
LABELS = {("hospital", "server", "labels")}
AVERAGED = {("hospital", "server", "weights"), ("server", "hospital", "weights")}
ONCE = {("hospital", "server", "activation"), ("server", "hospital", "weights")} | LABELS
U_SHAPE = UP_DOWN | {("server", "hospital", "activation"), ("hospital", "server", "gradient")} | AVERAGED


def vertical(holder, *parties):
    return {(holder, "server", "labels")} | {(p, "server", "activation") for p in parties} | {("server", p, "gradient") for p in parties}


# Study -> (overrides for tiny data, what passes). Shipped data needs no overrides.
FEW = ("training.epochs=8", "training.batch_size=16")
STUDIES = {
    "wdbc_vanilla": ((), UP_DOWN | LABELS | AVERAGED),
    "wdbc_release_once": ((), ONCE),
    "wdbc_u_shaped": ((), U_SHAPE),
    "wdbc_vertical": ((), vertical("clinic", "clinic", "laboratory")),
    "wdbc_multi_hop": ((), UP_DOWN | LABELS | AVERAGED | {(a, b, w) for a, b in (("server", "partner"), ("partner", "server"))
                                                         for w in ("activation", "gradient")}),
    "wdbc_sequential": ((), UP_DOWN | LABELS | {("hospital", "next hospital", "weights")}),
    "wdbc_parallel": ((), UP_DOWN | LABELS),
    "wdbc_splitfed_v1": ((), UP_DOWN | LABELS | AVERAGED),
    "wdbc_splitfed_v2": ((), UP_DOWN | LABELS | AVERAGED),
    "wdbc_splitfed_v3": ((), UP_DOWN | LABELS),
    "wdbc_federated": ((), AVERAGED),
    "heart_four_hospitals": ((), UP_DOWN | LABELS | AVERAGED),
    "icu_vertical": ((), vertical("registry", "administration", "laboratory", "history")),
    "drug_response": ((), vertical("clinic", "clinic", "laboratory")),
    "readmission": (FEW, UP_DOWN | LABELS | AVERAGED),
    "readmission_logistic": ((*FEW, "training.optimizer.learning_rate=0.02"), AVERAGED),
    "ecg_patients": (("training.epochs=12", "training.batch_size=46"), {("hospital", "server", "activation")} | LABELS),
    "pneumonia_vanilla": (FEW, UP_DOWN | LABELS | AVERAGED),
    "pneumonia_u_shaped": (FEW, U_SHAPE),
    "pneumonia_local": (FEW, set()),
    "pneumonia_release_once": (("training.batch_size=32", "privacy.epsilon=100"), ONCE),
}
SHIPPED = [name for name in STUDIES if name.startswith("wdbc_")]
GUARDED = {"wdbc_vanilla", "wdbc_release_once", "wdbc_u_shaped", "pneumonia_release_once"}
POSITIVE_SHARE = {name: 212 / 569 for name in SHIPPED}  # of the records; tiny data is half and half
DEVIATIONS = 4  # of a figure by chance: one run in 30,000 exceeds them


def auc_by_chance(records, positive_share):
    """What an AUC over so many records stays below when scores have nothing to do with labels (Mann and Whitney 1947)."""
    positives = round(records * positive_share)
    negatives = records - positives
    return 0.5 + DEVIATIONS * math.sqrt((records + 1) / (12 * positives * negatives))


def accuracy_by_chance(records, share):
    return share + DEVIATIONS * math.sqrt(share * (1 - share) / records)


def header(name):
    text = (CONFIGS / f"{name}.yaml").read_text(encoding="utf-8")
    return "\n".join(re.match(r"(#.*\n)+", text).group().splitlines())


def part(name, title):
    """The text after a title in a header, without line breaks and comment signs."""
    lines = header(name).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"# {title}"))
    end = next((i for i in range(start + 1, len(lines)) if re.match(r"# \S", lines[i])), len(lines))
    return " ".join(line.lstrip("# ") for line in lines[start:end]).removeprefix(title)


class Studies(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix="sutura_studies_")
        cls.folder = pathlib.Path(cls.temporary.name)
        sites = re.search(r"sites: \[(.*?)\]", (CONFIGS / "ecg_patients.yaml").read_text(encoding="utf-8"), re.S).group(1)
        tiny_data.make(cls.folder / "data", [int(s) for s in re.findall(r"\d+", sites)])
        cls.kept = {}

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def simulate(self, name, *overrides):
        """Summary of a run in one process; the same run is made once."""
        key = (name, overrides)
        if key not in self.kept:
            environment = {**os.environ, "SUTURA_DATA": str(self.folder / "data")}
            output = self.folder / f"run{len(self.kept)}"
            command = [PROGRAM, "simulate", CONFIGS / f"{name}.yaml", *overrides, "compute.default={backend: reference, threads: 1}",
                       "--json", "--quiet", "--output", output]
            done = subprocess.run([str(c) for c in command], cwd=self.folder, env=environment, capture_output=True, text=True,
                                  check=False)
            self.assertEqual(done.returncode, 0, f"{name}: {done.stderr}")
            self.kept[key] = json.loads(done.stdout)
        return self.kept[key]

    def for_each(self, check):
        for name, (overrides, passes) in STUDIES.items():
            with self.subTest(study=name):
                check(name, self.simulate(name, *overrides), passes)

    def test_every_study_that_ships_is_here(self):
        there = {p.stem for p in CONFIGS.glob("*.yaml") if re.search(r"^study:", p.read_text(encoding="utf-8"), re.M)}
        self.assertEqual(there, set(STUDIES))

    def test_finishes(self):
        def check(name, summary, _passes):
            self.assertFalse(summary["interrupted"])
            self.assertFalse(summary["failed"])
            self.assertEqual(summary["dropped"], [])
            self.assertGreater(summary["records_tested"], 40)

        self.for_each(check)

    def test_learns_more_than_chance(self):
        def check(name, summary, _passes):
            records = summary["records_tested"]
            if name == "ecg_patients":
                self.assertGreater(summary["accuracy"], accuracy_by_chance(records, 0.25))
            else:
                self.assertGreater(summary["auc"], auc_by_chance(records, POSITIVE_SHARE.get(name, 0.5)))

        self.for_each(check)

    def test_shuffled_labels_do_not_reach_the_bar(self):
        """Without this the bars above could be ones that everything passes."""
        with open(SOURCE / "data" / "wdbc.csv", encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        labels = [row["diagnosis"] for row in rows]
        random.Random(5).shuffle(labels)
        path = self.folder / "shuffled.csv"
        with open(path, "w", encoding="utf-8", newline="") as file:
            out = csv.DictWriter(file, list(rows[0]))
            out.writeheader()
            out.writerows({**row, "diagnosis": label} for row, label in zip(rows, labels))
        summary = self.simulate("wdbc_splitfed_v2", f"data.table.path={path}")
        self.assertLess(summary["auc"], auc_by_chance(summary["records_tested"], POSITIVE_SHARE["wdbc_splitfed_v2"]))

    def passes(self, summary):
        """(from, to, what) of every message between parties that carries something about records."""
        rows = [r for r in summary["egress"] if "every party" not in (r["from"], r["to"])]
        return [((r["from"], r["to"], r["what"].split()[0]), r["protection"]) for r in rows]

    def test_egress_list_is_what_was_meant(self):
        def check(_name, summary, passes):
            self.assertEqual({leg for leg, _ in self.passes(summary) if leg[2] != "identifiers"}, passes)

        self.for_each(check)

    def test_without_a_guard_everything_is_called_unprotected(self):
        def check(name, summary, _passes):
            for (start, end, what), protection in self.passes(summary):
                leaves_records = start not in ("server", "partner")
                guarded = name in GUARDED and leaves_records and what in ("activation", "gradient")
                sealed = end == "next hospital" or what == "identifiers"
                if leaves_records and not sealed:
                    self.assertEqual("UNPROTECTED" not in protection, guarded, f"{start} > {end} {what}: {protection}")

        self.for_each(check)

    def test_headers_say_what_leaves(self):
        def check(name, summary, passes):
            says = part(name, "What leaves")
            sent = {what.rstrip("s") for _, _, what in passes}
            for word in ("activation", "gradient", "label", "weight"):
                denied = re.search(rf"\bNo {word}s? leaves?\b", says)
                said = not denied and re.search(rf"\b{word}s?\b", says, re.I)
                self.assertEqual(bool(said), word in sent, f"{word} in: {says}")

        self.for_each(check)

    def test_headers_open_with_ten_lines(self):
        for name in STUDIES:
            with self.subTest(study=name):
                self.assertGreaterEqual(len(header(name).splitlines()), 10)
                for title in ("Who holds what", "What leaves", "What it costs", "Runs"):
                    self.assertTrue(part(name, title).strip())


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
