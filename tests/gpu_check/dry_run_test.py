#!/usr/bin/env python3
"""scripts/gpu_check without a GPU: the dry run under the host SIMT executor, the table, and what it says where there is no device.

usage: dry_run_test.py SOURCE_FOLDER PROGRAM_FOLDER
"""
import copy
import json
import math
import os
import pathlib
import stat
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
SOURCE, BIN = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
sys.path.insert(0, str(SOURCE / "bench" / "gpu"))
import pack  # noqa: E402
import study  # noqa: E402
import table  # noqa: E402

SCRIPT = SOURCE / "scripts" / "gpu_check"
HAS_GPU = os.path.exists("/dev/nvidia0")


def gpu_check(*arguments, **environment):
    return subprocess.run([SCRIPT, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                          env={**os.environ, **environment})


def number(value, unit="s"):
    return {"value": value, "unit": unit}


def program(folder, name, text):
    path = pathlib.Path(folder) / name
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


class DryRun(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.packed = pathlib.Path(cls.folder.name) / "sutura.tar.xz"
        done = gpu_check("--simt", "--study", BIN.parent, "--pack", cls.packed)
        assert done.returncode == 0, done.stdout

    def test_what_is_packed_loads_nothing_of_the_machine(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            (loader, _, path, binary), environment = pack.start(self.packed, "sutura_simt", folder)
            self.assertTrue(path.startswith(str(folder / "lib")))
            listed = subprocess.run([loader, "--inhibit-cache", "--library-path", folder / "lib", "--list", binary], stdout=subprocess.PIPE, text=True,
                                    check=True).stdout.splitlines()
            found = [line.split()[2] for line in listed if "=>" in line]
            self.assertGreater(len(found), 10)
            for library in found:
                self.assertTrue(library.startswith(str(folder / "lib")) or "ld-linux" in library, library)
            self.assertEqual(environment["SUTURA_MODULES"], str(folder / "lib"))
            module = BIN.parent / "lib" / "sutura_cudnn.so"
            self.assertEqual((folder / "lib" / "sutura_cudnn.so").exists(), module.exists())
        self.assertLess(self.packed.stat().st_size, 48 << 20)  # it travels beside the tree

    def test_every_part_runs_and_nothing_is_timed(self):
        with tempfile.TemporaryDirectory() as folder:
            done = gpu_check("--simt", "--programs", BIN, "--study", self.packed, "--out", folder)
            self.assertEqual(done.returncode, 0, done.stdout)
            result = json.loads((pathlib.Path(folder) / "gpu_host_simt_executor.json").read_text(encoding="utf-8"))
            text = (pathlib.Path(folder) / "gpu_host_simt_executor.md").read_text(encoding="utf-8")
        measured = result["measured"]
        wanted = {"ceiling.copy", "ceiling.mma_bf16", "ceiling.mma_tf32", "ceiling.graph_node_gap", "ceiling.launch_device", "ceiling.launch_host",
                  "guard.release", "guard.release_to_host", "guard.dequantise", "study.native_native.loss_difference", "tail.tiny.b2.native.launched", "tail.tiny.b2.native.graph",
                  *(f"conv.tiny.3x3s2.b2.{d}.ours" for d in ("fprop", "dgrad", "wgrad"))}
        self.assertLessEqual(wanted, set(measured))
        for key, entry in measured.items():
            self.assertNotIn("error", entry, key)
            if "unit" in entry:
                self.assertIsNone(entry["value"], f"{key}: a figure without a GPU")
        self.assertEqual(text.count("| not measured |"), 14)
        self.assertRegex(result["parts"]["study"], "^client on native, server on native: losses within .*; [1-9][0-9]* tests passed that the guard's bytes")

    def test_a_study_that_learns_otherwise_on_a_device_fails(self):
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "bin").mkdir()
            program(folder, "bin/sutura_simt", f'grep -q native "$2" && set -- "$@" training.optimizer.learning_rate=0.051\nexec {BIN}/sutura_simt "$@"\n')
            program(folder, "sutura-gpu-bench-simt", "exit 0\n")
            program(folder, "device_ops_test", "exit 1\n")
            done = gpu_check("--simt", "--programs", folder, "--study", folder, "--out", folder)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertRegex(done.stdout, "study: FAILED: client on native: devices: losses differ by .*; device_ops_test .*ReleasedRows.*: exit status 1")

    def test_a_part_that_fails_is_reported_and_the_others_go_on(self):
        with tempfile.TemporaryDirectory() as folder:
            program(folder, "sutura-gpu-bench-simt", "[ $1 = device ] && echo '{\"key\": \"device.description\", \"value\": \"planted\"}'\n"
                               "[ $1 = tails ] && echo '{\"key\": \"tail.x\", \"error\": \"planted failure\"}' && exit 1\n"
                               "[ $1 = guard ] && echo '{\"key\": \"guard.release\", \"value\": null, \"unit\": \"values/s\"}'\nexit 0\n")
            done = gpu_check("--simt", "--programs", folder, "--study", __file__, "--out", folder)  # which is no file of --pack
            text = (pathlib.Path(folder) / "gpu_planted.md").read_text(encoding="utf-8")
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("| tails | FAILED: 1 failed; 0 measured", text)
        self.assertIn("| study | FAILED: ReadError: file could not be opened", text)
        self.assertIn("| guard | 1 measured, 0 s |", text)
        self.assertIn("- tail.x: planted failure", text)

    @unittest.skipIf(HAS_GPU, "needs a machine without a GPU")
    def test_a_backend_that_is_lacking_is_told_from_other_failures(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            for file in study.files(folder, {"hospital": "cudnn", "server": "reference"}):
                done = subprocess.run([BIN / "sutura", "simulate", file, "--quiet", "--output", folder / file.stem], stderr=subprocess.PIPE, text=True, check=False)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(f"the cudnn {study.UNUSABLE}", done.stderr)

    @unittest.skipIf(HAS_GPU or not (BIN / "sutura-gpu-bench").exists(), "needs a build with CUDA on a machine without a GPU")
    def test_without_a_gpu_one_line_says_so(self):
        with tempfile.TemporaryDirectory() as folder:
            for required, status in (("0", 0), ("1", 3)):
                done = gpu_check("--programs", BIN, "--out", folder, SUTURA_REQUIRE_GPU=required)
                self.assertEqual(done.returncode, status, done.stdout)
                self.assertIn("no GPU here: nothing was measured", done.stdout)
                self.assertEqual(len(done.stdout.splitlines()), 1, done.stdout)
            self.assertEqual(list(pathlib.Path(folder).iterdir()), [])

    def test_op_tests_are_counted_over_their_shards_and_a_shard_without_a_test_fails(self):
        with tempfile.TemporaryDirectory() as folder:
            program(folder, "sutura-gpu-bench", "[ $1 = device ] && echo '{\"key\": \"device.description\", \"value\": \"planted, sm_90\"}'\nexit 0\n")
            program(folder, "parity_test", "[ $SUTURA_REQUIRE_GPU = 1 ] && echo '[  PASSED  ] 3 tests.'\n")
            program(folder, "device_ops_test", "echo '[  PASSED  ] 5 tests.'\n")
            program(folder, "compute-sanitizer", "[ $2 = memcheck ] && echo '[  PASSED  ] 2 tests.'\nexit 0\n")
            done = gpu_check("--programs", folder, "--out", folder, PATH=folder + ":" + os.environ["PATH"])
            text = (pathlib.Path(folder) / "gpu_planted.md").read_text(encoding="utf-8")
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("| tests | 24 tests passed", text)
        self.assertIn("| memcheck | 16 tests passed", text)
        self.assertIn("| racecheck | FAILED: device_ops_test *native_f32:*native_bf16:-*simt*:*arge*: no test passed; 0 tests passed", text)

    def test_a_dry_run_does_not_write_into_the_results(self):
        self.assertEqual(gpu_check("--simt", "--programs", BIN).returncode, 2)


class Differences(unittest.TestCase):
    """Of two runs, planted one at a time; `run` is what study.read() gives."""

    def setUp(self):
        epoch = {"train_loss": 0.6, "validation": {"loss": 0.5}, "records": 341, "epsilon": 0.0, "bytes_up": 4172}
        self.compute = {"hospital": "cudnn", "server": "native"}
        self.run_ = {"epochs": [dict(epoch), {**epoch, "train_loss": 0.4}], "test_loss": 0.45, "privacy": {"regime": "none"}, "egress": ["labels"],
                     "failed": None, "backends": {"hospital_a": "cudnn, f32, GPU", "hospital_b": "cudnn, f32, GPU", "server": "native, f32, GPU"}}

    def differences(self, change, regime="none"):
        cpu = copy.deepcopy(self.run_)
        cpu["privacy"]["regime"] = regime
        device = copy.deepcopy(cpu)
        change(device)
        return study.differences(cpu, device, self.compute)

    def test_none(self):
        self.assertEqual(self.differences(lambda run: None), [])
        self.assertEqual(self.differences(lambda run: run.update(test_loss=0.45 * (1 + 0.9 * study.TOLERANCE))), [])

    def test_each_is_found(self):
        planted = {"losses differ": lambda run: run["epochs"][1].update(train_loss=0.4 * (1 + 1.1 * study.TOLERANCE)),
                   "losses differ by inf": lambda run: run["epochs"][0]["validation"].update(loss=math.nan),
                   "epsilon of the epochs": lambda run: run["epochs"][1].update(epsilon=0.1),
                   "bytes_up of the epochs": lambda run: run["epochs"][0].update(bytes_up=4173),
                   "records of the epochs": lambda run: run["epochs"].pop(),
                   "privacy differs": lambda run: run["privacy"].update(noise_multiplier=1.0),
                   "egress differs": lambda run: run["egress"].clear(),
                   "failed differs": lambda run: run.update(failed="device"),
                   "server computed on: native, bf16, GPU": lambda run: run["backends"].update(server="native, bf16, GPU"),
                   "hospital_b computed on: onednn": lambda run: run["backends"].update(hospital_b="onednn 2.6, 1 thread, f32; no NVIDIA driver")}
        for text, change in planted.items():
            self.assertIn(text, " | ".join(self.differences(change)))

    def test_guarded_losses_may_differ_but_not_be_missing(self):
        self.assertEqual(self.differences(lambda run: run.update(test_loss=0.7), "message-noise"), [])
        self.assertEqual(self.differences(lambda run: run.update(test_loss=math.nan), "message-noise"), ["losses are missing or not finite"])


class Table(unittest.TestCase):
    def test_the_study_and_the_op_tests_are_answered_from_differences_alone(self):
        result = lambda parts, differences=(), value=1e-6: {"parts": parts, "differences": {k: ["x"] for k in differences},
                                                            "measured": {"study.cudnn_native.loss_difference": {"value": value}}}
        self.assertEqual(table.study(result({"study": "all agree"})), "as predicted: all agree")
        self.assertEqual(table.study(result({"study": "FAILED: x; y"}, ["study"])), "not as predicted: x")
        self.assertEqual(table.study(result({"study": "FAILED: no file"})), "not measured: FAILED: no file")
        self.assertEqual(table.study(result({"study": "not measured in full: no time"})), "not measured")
        self.assertEqual(table.study(result({"study": "all agree"}, value=None)), "not measured")
        ops = lambda tests, memcheck, *differences: table.op_tests(result({"tests": tests, "memcheck": memcheck}, differences))
        self.assertEqual(ops("8 tests passed", "16 tests passed"), "as predicted: 8 tests passed; 16 tests passed")
        self.assertEqual(ops("8 tests passed", "not measured: x"), "not measured")
        self.assertEqual(ops("8 tests passed", "FAILED: x", "memcheck"), "not as predicted: x")
        self.assertEqual(ops("FAILED: stopped; 8 tests passed", "not measured: x"), "not measured: FAILED: stopped; 8 tests passed; not measured: x")

    def answers(self, **values):
        return {p.text: p.answer() for p in table.predictions(values)}

    def test_ratios_and_predictions(self):
        values = {"tail.28px.b128.torch.eager": 2e-3, "tail.28px.b128.native.graph": 0.8e-3, "tail.28px.b128.cudnn.graph": 0.72e-3,
                  "conv.a.ours": 2e-5, "conv.a.cudnn": 1e-5, "conv.b.ours": 1e-5, "conv.b.cudnn": 2e-5, "conv.c.ours": 1.0,
                  "ceiling.mma_bf16": 5e14, "ceiling.library_gemm_bf16": 8e14}
        answers = {p.text: p.answer() for p in table.predictions(values)}
        self.assertEqual(answers["PyTorch eager, tail at 28 px, batch 128: 1.5 to 2.5 ms"], "2.000 ms: as predicted")
        self.assertEqual(answers["PyTorch eager / ours: at least 2"], "2.50: as predicted")
        self.assertEqual(answers["tail built from cuDNN / ours, both as graphs: at least 1.0"], "0.90: not as predicted")
        self.assertEqual(answers["convolutions, cuDNN / ours, geometric mean: at least 0.9"], "1.00: as predicted")  # 0.5 and 2
        self.assertEqual(answers["convolutions, the smallest ratio: at least 0.75"], "0.50: not as predicted")
        self.assertEqual(answers["mma.sync alone: 60 to 65 % of the library's product rate"], "0.62: as predicted")
        self.assertEqual(answers["guard: at least 25 G values/s"], "not measured")

    def test_the_guard_names_its_limit(self):
        limit = lambda copy, guard, host: table.guard_limit({"ceiling.copy": copy, "guard.release": guard, "guard.release_to_host": host})
        self.assertIn("copy to the host", limit(3e12, 100e9, 40e9))
        self.assertIn("integer arithmetic", limit(3e12, 50e9, 45e9))
        self.assertIn("memory", limit(0.4e12, 60e9, 55e9))
        self.assertEqual(table.guard_limit({}), "not measured")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
