#!/usr/bin/env python3
"""scripts/gpu_check without a GPU: the dry run under the host SIMT executor, the table, and what it says where there is no device.

usage: dry_run_test.py SOURCE_FOLDER PROGRAM_FOLDER
"""
import json
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
import table  # noqa: E402

SCRIPT = SOURCE / "scripts" / "gpu_check"
HAS_GPU = os.path.exists("/dev/nvidia0")


def gpu_check(*arguments, **environment):
    return subprocess.run([SCRIPT, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                          env={**os.environ, **environment})


def number(value, unit="s"):
    return {"value": value, "unit": unit}


class DryRun(unittest.TestCase):
    def test_every_part_runs_and_nothing_is_timed(self):
        with tempfile.TemporaryDirectory() as folder:
            done = gpu_check("--simt", "--programs", BIN, "--out", folder)
            self.assertEqual(done.returncode, 0, done.stdout)
            result = json.loads((pathlib.Path(folder) / "gpu_host_simt_executor.json").read_text(encoding="utf-8"))
            text = (pathlib.Path(folder) / "gpu_host_simt_executor.md").read_text(encoding="utf-8")
        measured = result["measured"]
        wanted = {"ceiling.copy", "ceiling.mma_bf16", "ceiling.mma_tf32", "ceiling.graph_node_gap", "ceiling.launch_device", "ceiling.launch_host",
                  "guard.release", "guard.release_to_host", "guard.dequantise", "tail.tiny.b2.native.launched", "tail.tiny.b2.native.graph",
                  *(f"conv.tiny.3x3s2.b2.{d}.ours" for d in ("fprop", "dgrad", "wgrad"))}
        self.assertLessEqual(wanted, set(measured))
        for key, entry in measured.items():
            self.assertNotIn("error", entry, key)
            if "unit" in entry:
                self.assertIsNone(entry["value"], f"{key}: a figure without a GPU")
        self.assertEqual(text.count("| not measured |"), 12)

    def test_a_part_that_fails_is_reported_and_the_others_go_on(self):
        with tempfile.TemporaryDirectory() as folder:
            program = pathlib.Path(folder) / "sutura-gpu-bench-simt"
            program.write_text("#!/bin/sh\n[ $1 = device ] && echo '{\"key\": \"device.description\", \"value\": \"planted\"}'\n"
                               "[ $1 = tails ] && echo '{\"key\": \"tail.x\", \"error\": \"planted failure\"}' && exit 1\n"
                               "[ $1 = guard ] && echo '{\"key\": \"guard.release\", \"value\": null, \"unit\": \"values/s\"}'\nexit 0\n")
            program.chmod(program.stat().st_mode | stat.S_IXUSR)
            done = gpu_check("--simt", "--programs", folder, "--out", folder)
            text = (pathlib.Path(folder) / "gpu_planted.md").read_text(encoding="utf-8")
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("| tails | FAILED: 0 measured, 1 failed", text)
        self.assertIn("| guard | 1 measured, 0 failed", text)
        self.assertIn("- tail.x: planted failure", text)

    @unittest.skipIf(HAS_GPU or not (BIN / "sutura-gpu-bench").exists(), "needs a build with CUDA on a machine without a GPU")
    def test_without_a_gpu_one_line_says_so(self):
        with tempfile.TemporaryDirectory() as folder:
            for required, status in (("0", 0), ("1", 3)):
                done = gpu_check("--programs", BIN, "--out", folder, SUTURA_REQUIRE_GPU=required)
                self.assertEqual(done.returncode, status, done.stdout)
                self.assertIn("no GPU here: nothing was measured", done.stdout)
            self.assertEqual(list(pathlib.Path(folder).iterdir()), [])

    def test_a_dry_run_does_not_write_into_the_results(self):
        self.assertEqual(gpu_check("--simt", "--programs", BIN).returncode, 2)


class Table(unittest.TestCase):
    def answers(self, **values):
        return {p.text: p.answer() for p in table.predictions(values)}

    def test_ratios_and_predictions(self):
        values = {"tail.28px.b128.torch.eager": 2e-3, "tail.28px.b128.native.graph": 0.8e-3, "tail.28px.b128.cudnn.graph": 0.7e-3,
                  "conv.a.ours": 2e-5, "conv.a.cudnn": 1e-5, "conv.b.ours": 1e-5, "conv.b.cudnn": 2e-5, "conv.c.ours": 1.0,
                  "ceiling.mma_bf16": 5e14, "ceiling.library_gemm_bf16": 8e14}
        answers = {p.text: p.answer() for p in table.predictions(values)}
        self.assertEqual(answers["PyTorch eager, tail at 28 px, batch 128: 1.5 to 2.5 ms"], "2.000 ms: as predicted")
        self.assertEqual(answers["PyTorch eager / ours: at least 2"], "2.50: as predicted")
        self.assertEqual(answers["tail built from cuDNN / ours, both as graphs: at least 1.0"], "0.87: not as predicted")
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
