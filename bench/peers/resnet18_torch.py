#!/usr/bin/python3
"""PyTorch's training speed on the network of the side-by-side: ResNet-18 with the stem for small images.

Width 64, batch norm, 1 x 28 x 28 pictures, batch 32, one output, binary cross-entropy, SGD with momentum. Random pictures, made
once: nothing but the step is timed. One JSON object per line: {"samples_per_second": X, ...}.

With --on-request it measures one round for every line on stdin and ends with the input, so that rounds of several programs
can be alternated without paying the start of each again; between rounds it sleeps on the pipe.
"""
import argparse
import json
import sys
import time

import torch
from torch import nn
from torch.nn import functional


class Block(nn.Module):
    """Basic residual block (He et al. 2016), shortcut of option B."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = functional.relu(self.norm1(self.conv1(x)), inplace=True)
        return functional.relu(self.norm2(self.conv2(y)) + self.shortcut(x), inplace=True)


def resnet18(channels, outputs_of_task, width):
    layers = [nn.Conv2d(channels, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
    inputs = width
    for stage in range(4):
        outputs = width << stage
        layers += [Block(inputs, outputs, 1 if stage == 0 else 2), Block(outputs, outputs, 1)]
        inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, outputs_of_task))


class Trainer:
    def __init__(self, arguments):
        torch.manual_seed(1)
        torch.set_num_threads(arguments.threads)
        self.layout = torch.channels_last if arguments.layout == "nhwc" else torch.contiguous_format
        self.precision = torch.bfloat16 if arguments.precision == "bf16" else None
        self.batch = arguments.batch
        self.network = resnet18(1, 1, arguments.width).to(memory_format=self.layout).train()
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=0.01, momentum=0.9)
        self.x = torch.randn(arguments.batch, 1, 28, 28).to(memory_format=self.layout)
        self.y = torch.randint(0, 2, (arguments.batch, 1)).float()

    def step(self):
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.precision is not None):
            loss = functional.binary_cross_entropy_with_logits(self.network(self.x), self.y)
        loss.backward()
        self.optimizer.step()
        return loss

    def round(self, seconds):
        """Samples per second over whole steps of at least `seconds`, after one untimed step."""
        loss = self.step()
        steps, start = 0, time.perf_counter()
        while True:
            loss = self.step()
            steps += 1
            spent = time.perf_counter() - start
            if spent >= seconds:
                break
        if not torch.isfinite(loss):
            raise RuntimeError("the loss is not finite")
        return {"samples_per_second": steps * self.batch / spent, "steps": steps, "seconds": spent}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=5.0, help="least length of a round")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--on-request", action="store_true", help="one round per line on stdin")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--layout", choices=["nchw", "nhwc"], default="nchw", help="memory order of images")
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32", help="bf16: torch.autocast")
    arguments = parser.parse_args()
    trainer = Trainer(arguments)
    for _ in range(3):  # primitives are made and the allocator warms up
        trainer.step()
    weights = sum(p.numel() for p in trainer.network.parameters())
    about = {"peer": f"PyTorch {torch.__version__}", "threads": torch.get_num_threads(), "weights": weights,
             "layout": arguments.layout, "precision": arguments.precision}
    if arguments.on_request:
        for _ in sys.stdin:
            print(json.dumps({**trainer.round(arguments.seconds), **about}), flush=True)
        return
    for _ in range(arguments.rounds):
        print(json.dumps({**trainer.round(arguments.seconds), **about}), flush=True)


if __name__ == "__main__":
    main()
