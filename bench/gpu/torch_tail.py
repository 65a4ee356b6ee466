#!/usr/bin/env python3
"""PyTorch's time for the tail step of scripts/gpu_check: ResNet-18 cut after stage 1, batch norm, one output, binary
cross-entropy, SGD with momentum, the gradient of the cut kept; random data that lies on the device.

One JSON object a line, as sutura-gpu-bench prints them. Modes: eager (bf16 autocast, NCHW), channels_last (bf16 autocast, NHWC), graph
(channels_last, the whole step as one CUDA graph). With --cpu every mode but the graph runs once on a tiny tail and times nothing.
"""
import argparse
import json
import pathlib
import statistics
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "peers"))
import torch  # noqa: E402
from resnet18_torch import Block  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

TAILS = {"28px": 28, "64px": 16, "224px": 56}  # pixels after stage 1
BATCH = 128
SETS = 3  # inputs take turns, as in ours


def tail(width):
    layers, inputs = [], width
    for stage in range(1, 4):
        outputs = width << stage
        layers += [Block(inputs, outputs, 2), Block(outputs, outputs, 1)]
        inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 1))


class Step:
    def __init__(self, device, pixels, width, batch, layout):
        torch.manual_seed(1)
        self.device = device
        self.network = tail(width).to(device, memory_format=layout).train()
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=1e-3, momentum=0.9)
        self.x = [torch.randn(batch, width, pixels, pixels, device=device, dtype=torch.bfloat16).to(memory_format=layout) for _ in range(SETS)]
        self.y = [torch.randint(0, 2, (batch, 1), device=device).float() for _ in range(SETS)]
        for x in self.x:
            x.requires_grad_(True)

    def run(self, i):
        self.optimizer.zero_grad(set_to_none=True)
        self.x[i].grad = None
        with torch.autocast(self.device, dtype=torch.bfloat16):
            logits = self.network(self.x[i])
        loss = functional.binary_cross_entropy_with_logits(logits.float(), self.y[i])
        loss.backward()
        self.optimizer.step()
        return loss


def seconds(run):
    """Of one call: the median of 7 timings of at least 50 calls, by device events."""
    times = []
    for _ in range(7):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        for i in range(51):
            run(i % SETS)
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) * 1e-3 / 51)
    return statistics.median(times)


def graphs(step):
    """A graph for each input, as ours."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for i in range(9):
            step.run(i % SETS)
    torch.cuda.current_stream().wait_stream(side)
    recorded = []
    for i in range(SETS):
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=recorded[0].pool() if recorded else None):
            step.run(i)
        recorded.append(graph)
    return recorded


def measure(mode, pixels):
    torch.backends.cudnn.benchmark = True
    step = Step("cuda", pixels, 64, BATCH, torch.contiguous_format if mode == "eager" else torch.channels_last)
    for i in range(12):
        step.run(i % SETS)
    if mode != "graph":
        return seconds(step.run)
    recorded = graphs(step)
    return seconds(lambda i: recorded[i].replay())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cpu", action="store_true", help="run the control flow on the CPU, time nothing")
    arguments = parser.parse_args()
    failures = 0
    if not arguments.cpu and not torch.cuda.is_available():
        sys.exit("torch_tail: this PyTorch finds no GPU")
    print(json.dumps({"key": "device.torch", "value": torch.__version__}), flush=True)
    for name, pixels in ({"tiny": 8} if arguments.cpu else TAILS).items():
        for mode in ("eager", "channels_last") if arguments.cpu else ("eager", "channels_last", "graph"):
            line = {"key": f"tail.{name}.b{2 if arguments.cpu else BATCH}.torch.{mode}", "unit": "s"}
            try:
                if arguments.cpu:
                    layout = torch.contiguous_format if mode == "eager" else torch.channels_last
                    loss = Step("cpu", pixels, 8, 2, layout).run(0)
                    line["value"] = None
                    if not torch.isfinite(loss):
                        raise RuntimeError("the loss is not finite")
                else:
                    line["value"] = measure(mode, pixels)
            except RuntimeError as e:
                line = {"key": line["key"], "error": str(e).splitlines()[0]}
                failures += 1
            print(json.dumps(line), flush=True)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
