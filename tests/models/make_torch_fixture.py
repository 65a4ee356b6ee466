#!/usr/bin/python3
"""Writes torch_fixture.safetensors: what PyTorch computes for three small networks of the zoo.

Usage: make_torch_fixture.py OUTPUT

For each network the file holds the input, the labels, the logits, the loss and every gradient (the input's too), and the
running statistics after the forward pass. For mlp and xray_cnn it holds the weights as well; resnet18's weights follow a
formula (fill) that the test repeats, and of its large gradients the file holds every stride-th value, the norm and a
weighted sum of all, so that the file stays small. Convolution weights are stored [K, R, S, C], images [N, H, W, C].
For mlp it also holds the losses of five training steps with SGD and AdamW.
"""
import json
import struct
import sys

import numpy as np
import torch
from torch import nn

SAMPLES = 512  # values kept of a large gradient


def hashed(first, count):
    """Uniform in [-1, 1), exact in float32: Knuth's multiplicative hash of first, first + 1, ..."""
    i = np.arange(first, first + count, dtype=np.uint64)
    return (((i * 2654435761) % (1 << 32)) >> 8).astype(np.float64) / (1 << 23) - 1.0


def to_ours(t):
    t = t.detach()
    return (t.permute(0, 2, 3, 1) if t.dim() == 4 else t).contiguous().numpy().astype(np.float32)


def write_safetensors(path, tensors):
    header, offset = {}, 0
    for name, t in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(t.shape), "data_offsets": [offset, offset + t.nbytes]}
        offset += t.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(t.tobytes() for t in tensors.values()))


def groups(channels):
    g = min(8, max(1, channels // 2))
    while channels % g:
        g -= 1
    return g


class Named(nn.Module):
    """Layers in order under Sutura's names (torch forbids dots in module names, so they are kept beside)."""

    def __init__(self, layers):
        super().__init__()
        self.names = [n for n, _ in layers]
        self.layers = nn.ModuleList([layer for _, layer in layers])

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x

    def named(self):
        for name, layer in zip(self.names, self.layers):
            yield from layer.named(name) if hasattr(layer, "named") else own(name, layer)


def own(name, module):
    for local, t in list(module.named_parameters(recurse=False)) + list(module.named_buffers(recurse=False)):
        if local != "num_batches_tracked":
            yield f"{name}.{local}", t


class Block(nn.Module):
    def __init__(self, cin, cout, stride):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False), nn.BatchNorm2d(cout)
        self.conv2, self.norm2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False), nn.BatchNorm2d(cout)
        self.shortcut = None
        if stride != 1 or cin != cout:
            self.shortcut = nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout))

    def forward(self, x):
        y = self.norm2(self.conv2(torch.relu(self.norm1(self.conv1(x)))))
        return torch.relu(y + (x if self.shortcut is None else self.shortcut(x)))

    def named(self, name):
        for local in ("conv1", "norm1", "conv2", "norm2"):
            yield from own(f"{name}.{local}", getattr(self, local))
        if self.shortcut is not None:
            yield from own(f"{name}.shortcut.conv", self.shortcut[0])
            yield from own(f"{name}.shortcut.norm", self.shortcut[1])


class MeanOverPixels(nn.Module):
    def forward(self, x):
        return x.mean((2, 3))


def mlp():
    return Named([("fc1", nn.Linear(7, 8)), ("act1", nn.GELU()), ("fc2", nn.Linear(8, 6)), ("act2", nn.GELU()),
                  ("out", nn.Linear(6, 3))])


def xray_cnn(width):
    layers, channels = [], 1
    for i, times in enumerate((1, 2, 2, 4, 4), 1):
        filters = width * times
        layers += [(f"conv{i}", nn.Conv2d(channels, filters, 3, padding=1)),
                   (f"norm{i}", nn.GroupNorm(groups(filters), filters)), (f"act{i}", nn.ReLU())]
        if i in (1, 3):
            layers.append((f"pool{i}", nn.MaxPool2d(2)))
        channels = filters
    return Named(layers + [("pool", MeanOverPixels()), ("out", nn.Linear(channels, 1))])


def resnet18(width):
    layers = [("stem.conv", nn.Conv2d(1, width, 3, padding=1, bias=False)), ("stem.norm", nn.BatchNorm2d(width)),
              ("stem.act", nn.ReLU())]
    channels = width
    for stage in range(1, 5):
        for block in range(2):
            filters = width << (stage - 1)
            layers.append((f"stage{stage}.{block}", Block(channels, filters, 2 if stage > 1 and block == 0 else 1)))
            channels = filters
    return Named(layers + [("pool", MeanOverPixels()), ("out", nn.Linear(channels, 1))])


def fill(net):
    """Weights as the test makes them: fan-in uniform from the hash; norms near (1, 0); running statistics as they start."""
    first = 1
    for name, t in net.named():
        n = t.numel()
        values = hashed(first, n)
        first += n
        local = name.rsplit(".", 1)[1]
        if local.startswith("running"):
            continue
        if t.dim() == 4:
            values = values / np.sqrt(n // t.shape[0])
            ours = torch.tensor(values.reshape(t.shape[0], t.shape[2], t.shape[3], t.shape[1]).astype(np.float32))
            t.data.copy_(ours.permute(0, 3, 1, 2))
        else:
            scale = 1.0 / np.sqrt(t.shape[1]) if t.dim() == 2 else 0.1
            values = values * scale + (1.0 if "norm" in name and local == "weight" else 0.0)
            t.data.copy_(torch.tensor(values.reshape(t.shape).astype(np.float32)))


def put_gradient(out, key, t):
    flat = t.reshape(-1).astype(np.float64)
    out[f"{key}.summary"] = np.array([np.sqrt((flat**2).sum()), (flat * hashed(1, flat.size)).sum()], np.float32)
    stride = max(1, flat.size // SAMPLES)
    out[f"{key}.samples"] = t.reshape(-1)[::stride].copy()


def record(out, tag, net, x, labels, loss_of, keep_weights):
    if keep_weights:
        for name, t in net.named():
            out[f"{tag}/weight/{name}"] = to_ours(t)
    x.requires_grad_(True)
    net.train()
    logits = net(x)
    loss = loss_of(logits, labels)
    loss.backward()
    out[f"{tag}/x"] = to_ours(x)
    out[f"{tag}/labels"] = labels.numpy().astype(np.float32)
    out[f"{tag}/logits"] = to_ours(logits)
    out[f"{tag}/loss"] = np.array([loss.item()], np.float32)
    put_gradient(out, f"{tag}/grad/x", to_ours(x.grad))
    for name, t in net.named():
        if t.requires_grad:
            put_gradient(out, f"{tag}/grad/{name}", to_ours(t.grad))
        else:
            out[f"{tag}/statistic/{name}"] = to_ours(t)


def training_losses(optimizer_of, x, labels):
    torch.manual_seed(3)
    net = mlp()
    fill(net)
    optimizer = optimizer_of(net.parameters())
    losses = []
    for _ in range(6):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x), labels)
        losses.append(loss.item())
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 0.5)
        optimizer.step()
    return np.array(losses, np.float32)


def main():
    torch.set_num_threads(1)
    random = np.random.default_rng(5)
    normal = lambda *shape: torch.tensor(random.standard_normal(shape).astype(np.float32))
    binary = lambda logits, y: nn.functional.binary_cross_entropy_with_logits(logits, y.float()[:, None])
    out = {}
    nets = {"mlp": mlp(), "xray_cnn": xray_cnn(4), "resnet18": resnet18(8)}
    for net in nets.values():
        fill(net)
    x, y = normal(5, 7), torch.tensor([0, 2, 1, 1, 0])
    record(out, "mlp", nets["mlp"], x, y, nn.functional.cross_entropy, True)
    record(out, "xray_cnn", nets["xray_cnn"], normal(3, 1, 12, 10), torch.tensor([1, 0, 1]), binary, True)
    record(out, "resnet18", nets["resnet18"], normal(4, 1, 16, 16), torch.tensor([0, 1, 1, 0]), binary, False)
    x = x.detach()
    out["train/sgd"] = training_losses(lambda p: torch.optim.SGD(p, 0.3, momentum=0.9, weight_decay=0.01), x, y)
    out["train/adamw"] = training_losses(lambda p: torch.optim.AdamW(p, 0.05, weight_decay=0.1), x, y)
    write_safetensors(sys.argv[1], out)


if __name__ == "__main__":
    main()
