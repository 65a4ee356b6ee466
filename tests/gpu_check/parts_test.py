#!/usr/bin/env python3
"""The parts of scripts/gpu_check over planted programs: what fails a part, what answers a prediction, and what does neither.

usage: parts_test.py SOURCE_FOLDER
"""
import argparse
import contextlib
import importlib.machinery
import importlib.util
import io
import json
import pathlib
import random
import stat
import sys
import tarfile
import tempfile
import unittest
import unittest.mock

sys.dont_write_bytecode = True
SOURCE = pathlib.Path(sys.argv[1]).resolve()
loader = importlib.machinery.SourceFileLoader("gpu_check", str(SOURCE / "scripts" / "gpu_check"))
gpu_check = importlib.util.module_from_spec(importlib.util.spec_from_loader("gpu_check", loader))
loader.exec_module(gpu_check)
import cudnn_report  # noqa: E402  (gpu_check says where these are)
import study  # noqa: E402
import table  # noqa: E402

REFUSED = "cuDNN, a convolution: CUDNN_STATUS_BAD_PARAM; Sutura's own kernel computes it"
UNUSABLE = "error: the cudnn backend cannot be used here: libcudnn.so.9: cannot open shared object file (party hospital)"
SERVED = "cudnn: conv2d_forward served 12 ours 0, relu_forward served 4 ours 1"
# `sutura simulate FILE --quiet --output FOLDER`: a run as every backend would have it, but for what is planted after `reason`.
STUDY = '''#!/usr/bin/env python3
import json, os, pathlib, re, sys
with open(pathlib.Path(__file__).parent / "begun", "a") as begun: begun.write("x")
text, out = pathlib.Path(sys.argv[2]).read_text(), pathlib.Path(sys.argv[5])
backend = {p: re.search(p + r": {backend: (\\w+)", text)[1] for p in ("hospital", "server")}
summary = {"loss": 0.45, "privacy": {"regime": "none"}, "egress": ["labels"], "failed": None}
library = "LIBRARY"
PLANTED
for party, kind in {"hospital_a": "hospital", "hospital_b": "hospital", "server": "server"}.items():
    (out / party).mkdir(parents=True)
    (out / party / "summary.json").write_text(json.dumps({"backend": backend[kind] + ", f32, GPU"}))
(out / "summary.json").write_text(json.dumps(summary))
(out / "metrics.jsonl").write_text(json.dumps({"train_loss": 0.6, "validation": {"loss": 0.5}, "records": 341, "epsilon": 0.0, "bytes_up": 4172}))
if backend["hospital"] == "cudnn" and os.environ["SUTURA_CUDNN_REPORT"] == "1": print(library, file=sys.stderr)
'''


class Planted(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def program(self, name, text):
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text if text.startswith("#!") else "#!/bin/sh\n" + text, encoding="utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def check(self, libraries=True, minutes=1.0, study_path=None):
        check = gpu_check.Check(argparse.Namespace(programs=self.folder, minutes=minutes, study=study_path or self.folder, simt=False))
        check.libraries = libraries
        return check

    def part(self, check, name, *arguments, **more):
        with contextlib.redirect_stdout(io.StringIO()):
            check.part(name, *arguments, **more)
        return check.parts[name]

    def answer(self, check, row=table.study):
        return row({"parts": {n: p.note() for n, p in check.parts.items()}, "measured": check.measured,
                    "differences": {n: p.differences for n, p in check.parts.items() if p.differences}}).split(":")[0]


class Reports(unittest.TestCase):
    def test_sessions_are_summed(self):
        report = cudnn_report.Report(f"x\n{SERVED}\ncudnn: linear_forward served 3 ours 2, conv2d_forward served 1 ours 0\ncudnn is opened\n")
        self.assertEqual(cudnn_report.total(report.sessions), {"conv2d_forward": (13, 0), "relu_forward": (4, 1), "linear_forward": (3, 2)})
        self.assertEqual(cudnn_report.products(cudnn_report.total(report.sessions)), (16, 2))
        self.assertEqual((report.faults, report.idle(), report.idle_sessions()), ([], [], []))

    def test_what_is_none_and_what_was_refused_are_faults(self):
        for line in ("cudnn: conv2d_forward served 12 ours", "cudnn: a served 1 ours 2 b served 1 ours 2", "cudnn: a served -1 ours 2", REFUSED):
            self.assertIn(line, cudnn_report.Report(line).faults[0])

    def test_a_library_that_computed_no_product_is_idle(self):
        for text in ("", "cudnn: relu_forward served 9 ours 0", "cudnn: conv2d_forward served 0 ours 9, linear_forward served 0 ours 1"):
            self.assertEqual(len(cudnn_report.Report(text).idle()), 1, text)
            self.assertEqual(len(cudnn_report.Report(text).idle_sessions()), 1, text)

    def test_one_session_does_not_hide_another(self):
        report = cudnn_report.Report(f"{SERVED}\ncudnn: conv2d_forward served 0 ours 5\ncudnn: relu_forward served 1 ours 0")
        self.assertEqual(report.idle(), [])
        self.assertIn("1 of 2 sessions", report.idle_sessions()[0])


    def test_the_module_says_it_in_these_words(self):
        sources = (SOURCE / "kernels" / "cuda" / "cudnn").glob("handles.*")
        self.assertTrue(any(cudnn_report.REFUSED in path.read_text(encoding="utf-8") for path in sources))


class Study(Planted):
    def run_study(self, planted="", library=SERVED, tests="echo '[  PASSED  ] 5 tests.'", **more):
        self.program("bin/sutura", STUDY.replace("PLANTED", planted).replace("LIBRARY", library))
        self.program("device_ops_test", tests + "\n")
        check = self.check(**more)
        return check, self.part(check, "study", check.study, seconds=20)

    def test_a_study_that_agrees(self):
        check, part = self.run_study()
        self.assertRegex(part.note(), "^client on cudnn and native, server on native: .*; 10 tests passed .*; the libraries served 24 of 24 calls")
        self.assertEqual(part.served, {"conv2d_forward": (24, 0), "relu_forward": (8, 2)})
        self.assertEqual(check.measured["study.cudnn_native.loss_difference"]["value"], 0.0)
        self.assertEqual(self.answer(check), "as predicted")

    def test_a_difference_is_an_answer(self):
        check, part = self.run_study('summary["loss"] += backend["hospital"] == "native"')
        self.assertIn("FAILED: client on native: devices: losses differ by", part.note())
        self.assertEqual(self.answer(check), "not as predicted")

    def test_what_failed_otherwise_is_none(self):
        for planted, library, note in (("", "", "computed no convolution"), ("", "cudnn: conv2d_forward served 0 ours 12", "computed no convolution"),
                                       ("", SERVED + "\\n" + REFUSED, REFUSED), ("", SERVED + "\\ncudnn: conv2d_forward served 0 ours 1", "1 of 2 sessions"),
                                       ('if backend["hospital"] == "cudnn": sys.exit(71)', SERVED, "client on cudnn: devices: a run failed"),
                                       (f'if backend["hospital"] == "cudnn": sys.exit("{UNUSABLE}")', SERVED, "client on cudnn: devices: a run failed"),
                                       ('if backend["hospital"] == "native": del summary["loss"]', SERVED, "KeyError: 'loss'")):
            check, part = self.run_study(planted, library)
            self.assertIn(note, part.note())
            self.assertTrue(part.failed(), note)
            self.assertEqual(self.answer(check), "not measured", note)

    def test_a_machine_without_cudnn_compares_native_alone(self):
        check, part = self.run_study(f'if backend["hospital"] == "cudnn": sys.exit("{UNUSABLE}")', libraries=False)
        self.assertFalse(part.failed(), part.note())
        self.assertRegex(part.note(), "^client on native, server on native: .*client on cudnn not measured: the cudnn backend cannot be used here: libcudnn")
        self.assertEqual(self.answer(check), "not measured")

    def test_nothing_follows_a_run_on_the_cpu_that_failed(self):
        check, part = self.run_study('sys.exit(1)')
        self.assertIn("FAILED: a run on the CPU failed", part.note())
        self.assertEqual((self.folder / "bin" / "begun").read_text(encoding="utf-8"), "x")
        self.assertEqual(self.answer(check), "not measured")

    def test_each_kind_of_released_rows_has_tests(self):
        for empty in ("native", "cudnn"):
            _, part = self.run_study(tests=f'case "$1" in *{empty}*) echo "[  PASSED  ] 0 tests.";; *) echo "[  PASSED  ] 5 tests.";; esac')
            self.assertEqual(part.faults, [f"device_ops_test *ReleasedRows*{empty}_f32: no test passed"])

    def test_a_file_that_is_none_or_broken_fails_the_part_alone(self):
        whole, broken = self.folder / "whole.tar.xz", self.folder / "broken.tar.xz"
        (self.folder / "filling").write_bytes(random.Random(1).randbytes(200_000))
        with tarfile.open(whole, "w:xz", preset=1) as archive:
            archive.add(self.folder / "filling", "filling")
        bytes_ = bytearray(whole.read_bytes())
        bytes_[len(bytes_) // 2] ^= 1
        broken.write_bytes(bytes_)
        for path, error in ((broken, "LZMAError"), (self.folder / "missing", "FileNotFoundError"), (whole, "ValueError: whole.tar.xz was not made by --pack")):
            check = self.check(study_path=path)
            self.assertIn(f"FAILED: {error}", self.part(check, "study", check.study).note())
            self.assertEqual(self.answer(check), "not measured")

    def test_time(self):
        self.program("bin/sutura", "sleep 5\n")
        check = self.check()
        part = self.part(check, "study", check.study, seconds=0.2)
        self.assertRegex(part.note(), "^FAILED: a run on the CPU failed.*; not measured in full: no time, 0 s$")
        self.assertLess(part.seconds, 2)
        self.program("half", "echo '{\"key\": \"a\", \"value\": 1}'; printf '{\"key\": \"b\", \"va'; exec sleep 5\n")
        check = self.check(minutes=0.3 / 60)
        part = self.part(check, "guard", check.measure, [[self.folder / "half"]] * 2)
        self.assertEqual((part.note(), sorted(check.measured)), ("FAILED: half: stopped, its time was over; not measured in full: no time, 0 s", ["a"]))
        self.program("late", "touch \"$0.begun\"\n")
        check = self.check(minutes=0)
        part = self.part(check, "guard", check.measure, [[self.folder / "late"]])
        self.assertEqual((part.note(), part.failed()), ("not measured: no time", False))
        self.assertFalse((self.folder / "late.begun").exists())


class Tests(Planted):
    KINDS = ("*native_f32", "*cudnn_f32", "*cudnn_bf16")

    def run_tests(self, planted):
        """device_ops_test with a line for one kind alone, cudnn_bf16."""
        self.program("device_ops_test", f'case "$1" in *native*) ;; *bf16) {planted};; *) echo "{SERVED}" >&2;; esac\necho "[  PASSED  ] 5 tests."\n')
        check = self.check()
        part = self.part(check, "tests", check.tests, ["device_ops_test"], self.KINDS)
        check.parts["memcheck"] = gpu_check.Part()
        check.parts["memcheck"].text = "1 tests passed"
        return part, self.answer(check, table.op_tests)

    def test_passed(self):
        part, answer = self.run_tests(f'echo "{SERVED}" >&2')
        self.assertEqual((part.note(), answer), ("15 tests passed; the libraries served 24 of 24 calls of convolutions and linear layers, 0 s", "as predicted"))

    def test_differences_and_other_faults(self):
        failed = f'echo "[  FAILED  ] A/Conv.B/cudnn_bf16, where GetParam() = x (1 ms)"; echo "[  FAILED  ] 1 test, listed below:"; echo "{SERVED}" >&2; exit 1'
        for planted, note, answer in (
                (failed, "1 tests failed, A/Conv.B/cudnn_bf16 among them", "not as predicted"),
                (f"echo '{SERVED}' >&2; kill -SEGV $$", "ended by SIGSEGV", "not as predicted"),
                (f"echo '{SERVED}' >&2; kill -KILL $$", "exit status -9", "not measured"),
                (f"echo '{UNUSABLE}'; {failed}", "cannot be used here", "not measured"),
                (f"echo '{SERVED}' >&2; exit 0", "no test passed", "not measured"),
                (":", "device_ops_test *cudnn_bf16: cuDNN and cuBLAS computed no convolution", "not measured"),
                (f"echo '{SERVED}' >&2; echo \"{REFUSED}\" >&2", REFUSED, "not measured")):
            part, answered = self.run_tests(planted)
            self.assertIn(note, part.note())
            self.assertTrue(part.failed())
            self.assertEqual(answered, answer, note)

    def test_what_a_sanitizer_finds_is_a_difference(self):
        self.program("device_ops_test", "exit 9\n")
        check = self.check()
        part = self.part(check, "memcheck", check.tests, ["device_ops_test"], ["*native_f32"], shards=2)
        self.assertEqual(part.differences, ["device_ops_test *native_f32: the sanitizer found errors"] * 2)


class Tails(Planted):
    KEY = "tail.28px.b128.cudnn.graph"

    def run_tails(self, planted, libraries=True):
        self.program("bench", f'echo \'{{"key": "tail.28px.b128.native.graph", "value": 1.0, "unit": "s"}}\'\n{planted}\n')
        check = self.check(libraries)
        return check, self.part(check, "tails", check.measure, [[self.folder / "bench"]])

    def test_a_tail_on_cudnn_counts_if_the_library_computed_it(self):
        line = f'echo \'{{"key": "{self.KEY}", "value": 2.0, "unit": "s"}}\'; '
        check, part = self.run_tails(line + f"echo '{SERVED}' >&2")
        self.assertFalse(part.failed(), part.note())
        self.assertEqual(check.measured[self.KEY]["value"], 2.0)
        for said in (":", "echo 'cudnn: conv2d_forward served 0 ours 3' >&2", f"echo '{SERVED}' >&2; echo \"{REFUSED}\" >&2"):
            check, part = self.run_tails(line + said)
            self.assertTrue(part.failed(), said)
            self.assertEqual(list(check.measured[self.KEY]), ["error"])
            self.assertEqual(check.measured["tail.28px.b128.native.graph"]["value"], 1.0)

    def test_a_machine_without_cudnn(self):
        line = f'echo \'{{"key": "{self.KEY}", "error": "the cudnn backend cannot be used here: no file"}}\'; exit 1'
        self.assertEqual(self.run_tails(line, libraries=False)[1].note(), "1 measured; 1 not measured: no cuDNN, 0 s")
        self.assertEqual(self.run_tails(line)[1].note(), "FAILED: 1 failed; 1 measured, 0 s")


class Whole(Planted):
    def test_cudnn_is_tested_where_its_program_starts(self):
        self.program("sutura-gpu-bench", "exit 0\n")
        for program in ("device_ops_test", "parity_test"):
            self.program(program, f'echo "{SERVED}" >&2\necho "[  PASSED  ] 1 tests."\n')
        for status, tests in ((2, "12 tests passed; the libraries served 72 of 72 calls"), (127, "6 tests passed,")):
            self.program("sutura-gpu-libraries", f"exit {status}\n")
            check = self.check()
            check.arguments.quick, check.arguments.study = False, None
            with unittest.mock.patch.object(check, "torch", lambda: None), unittest.mock.patch.object(check, "sanitize"), \
                    contextlib.redirect_stdout(io.StringIO()):
                check.all_parts()
            self.assertRegex(check.parts["tests"].note(), f"^{tests}")

    def test_a_table_is_written_whatever_ended_the_measurement(self):
        def interrupted(check):
            check.part("tests", lambda name, part: part.served.update({"conv2d_forward": (3, 1)}) or "8 tests passed")
            raise KeyboardInterrupt

        arguments = ["gpu_check", "--simt", "--programs", str(self.folder), "--out", str(self.folder)]
        with unittest.mock.patch.object(gpu_check.Check, "all_parts", interrupted), unittest.mock.patch.object(sys, "argv", arguments), \
                contextlib.redirect_stdout(io.StringIO()), self.assertRaises(KeyboardInterrupt):
            gpu_check.main()
        text = (self.folder / "gpu_unknown_device.md").read_text(encoding="utf-8")
        self.assertIn("| tests | 8 tests passed |", text)
        self.assertIn("| tests | conv2d_forward | 3 | 1 |", text)
        self.assertEqual(json.loads((self.folder / "gpu_unknown_device.json").read_text(encoding="utf-8"))["cudnn"], {"tests": {"conv2d_forward": [3, 1]}})


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
