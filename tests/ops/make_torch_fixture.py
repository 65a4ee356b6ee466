#!/usr/bin/python3
"""Writes tests/fixtures/torch_ops.bin: inputs and results of ops as PyTorch computes them on the CPU in float32.

Format, little-endian: magic "SUTFIX1\\n"; u32 count; then per tensor u32 name length, name, u8 type (0 float32, 1 int32),
u8 rank, i64 dimensions, values. Images are stored NHWC, convolution weights [K, R, S, C], as Sutura lays them out.
Run it again only to add cases: the file is committed so that the tests need no PyTorch.
"""
import pathlib
import struct
import numpy as np
import torch
import torch.nn.functional as F

torch.manual_seed(20240229)
torch.set_num_threads(1)
tensors = []


def put(name, value):
    a = value.detach().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
    tensors.append((name, np.ascontiguousarray(a.astype(np.int32 if a.dtype.kind == "i" else np.float32))))


def nhwc(t):
    return t.permute(0, 2, 3, 1)


def leaf(*shape, low=None):
    t = torch.randn(*shape) if low is None else low + torch.rand(*shape)
    return t.requires_grad_()


def conv(name, x_shape, filters, kernel, stride, pad):
    x, w, b = leaf(*x_shape), leaf(filters, x_shape[1], *kernel), leaf(filters)
    y = F.conv2d(x, w, b, stride, pad)
    g = torch.randn_like(y)
    y.backward(g)
    put(f"{name}.spec", np.array([*kernel, *stride, *pad]))
    for key, t in {"x": x, "weight": w, "y": y, "grad_y": g, "grad_x": x.grad, "grad_weight": w.grad}.items():
        put(f"{name}.{key}", nhwc(t))
    put(f"{name}.bias", b)
    put(f"{name}.grad_bias", b.grad)


conv("conv0", (3, 3, 9, 8), 8, (3, 3), (2, 2), (1, 1))
conv("conv1", (2, 16, 6, 6), 17, (5, 5), (1, 1), (2, 2))
conv("conv2", (2, 5, 1, 24), 8, (1, 7), (1, 2), (0, 3))

for name, shape in {"linear0": (5, 33, 7)}.items():
    x, w, b = leaf(shape[0], shape[1]), leaf(shape[2], shape[1]), leaf(shape[2])
    y = F.linear(x, w, b)
    g = torch.randn_like(y)
    y.backward(g)
    for key, t in {"x": x, "weight": w, "bias": b, "y": y, "grad_y": g, "grad_x": x.grad, "grad_weight": w.grad,
                   "grad_bias": b.grad}.items():
        put(f"{name}.{key}", t)


def norm(name, x, function, channels, images):
    gamma, beta = leaf(channels, low=0.5), leaf(channels)
    y = function(x, gamma, beta)
    g = torch.randn_like(y)
    y.backward(g)
    layout = nhwc if images else (lambda t: t)
    for key, t in {"x": x, "y": y, "grad_y": g, "grad_x": x.grad}.items():
        put(f"{name}.{key}", layout(t))
    for key, t in {"gamma": gamma, "beta": beta, "grad_gamma": gamma.grad, "grad_beta": beta.grad}.items():
        put(f"{name}.{key}", t)


norm("group", leaf(3, 12, 5, 4), lambda x, g, b: F.group_norm(x, 4, g, b, 1e-5), 12, True)
norm("layer", leaf(6, 33), lambda x, g, b: F.layer_norm(x, (33,), g, b, 1e-5), 33, False)
running_mean, running_var = torch.randn(6), 0.5 + torch.rand(6)
put("batch.running_mean_before", running_mean.clone())
put("batch.running_var_before", running_var.clone())
norm("batch", leaf(4, 6, 3, 5), lambda x, g, b: F.batch_norm(x, running_mean, running_var, g, b, True, 0.1, 1e-5), 6, True)
put("batch.running_mean_after", running_mean)
put("batch.running_var_after", running_var)
x, g, b = torch.randn(3, 6, 2, 2), 0.5 + torch.rand(6), torch.randn(6)
for key, t in {"x": nhwc(x), "gamma": g, "beta": b, "y": nhwc(F.batch_norm(x, running_mean, running_var, g, b, False, 0.1, 1e-5))}.items():
    put(f"evaluate.{key}", t)

x = (3.0 * torch.randn(200)).requires_grad_()
y = F.gelu(x)
g = torch.randn_like(y)
y.backward(g)
for key, t in {"x": x, "y": y, "grad_y": g, "grad_x": x.grad}.items():
    put(f"gelu.{key}", t)

for name, pool in {"max": lambda t: F.max_pool2d(t, 3, 2, 1), "avg": lambda t: F.avg_pool2d(t, 3, 2, 1)}.items():
    x = leaf(2, 5, 9, 8)
    y = pool(x)
    g = torch.randn_like(y)
    y.backward(g)
    for key, t in {"x": x, "y": y, "grad_y": g, "grad_x": x.grad}.items():
        put(f"{name}_pool.{key}", nhwc(t))

z, labels = (4.0 * torch.randn(9, 7)).requires_grad_(), torch.randint(0, 7, (9,))
loss = F.cross_entropy(z, labels)  # mean over the records: scale 1 / 9
loss.backward()
for key, t in {"logits": z, "labels": labels, "loss": loss.reshape(1), "grad": z.grad}.items():
    put(f"cross_entropy.{key}", t)
z, labels = (4.0 * torch.randn(9, 1)).requires_grad_(), torch.randint(0, 2, (9,))
loss = F.binary_cross_entropy_with_logits(z, labels.float().reshape(9, 1))
loss.backward()
for key, t in {"logits": z, "labels": labels, "loss": loss.reshape(1), "grad": z.grad}.items():
    put(f"binary.{key}", t)
z, target = leaf(9, 4), torch.randn(9, 4)
loss = F.mse_loss(z, target)
loss.backward()
for key, t in {"y": z, "target": target, "loss": loss.reshape(1), "grad": z.grad}.items():
    put(f"squared.{key}", t)


def optimizer(name, make):
    p = torch.nn.Parameter(torch.randn(50))
    put(f"{name}.params0", p.clone())
    opt = make([p])
    for step in range(1, 4):
        p.grad = torch.randn(50)
        put(f"{name}.grads{step}", p.grad)
        opt.step()
        put(f"{name}.params{step}", p.clone())


optimizer("sgd", lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01))
# The settings are float32 in Sutura: 0.999 as a float differs from 0.999 as a double by 1e-8, and 1 - beta2 by 1e-5 of itself.
f = lambda v: float(np.float32(v))
optimizer("adamw", lambda p: torch.optim.AdamW(p, lr=f(0.01), betas=(f(0.9), f(0.999)), eps=f(1e-8), weight_decay=f(0.1)))
grads = torch.nn.Parameter(torch.zeros(64))
grads.grad = torch.randn(64)
put("clip.before", grads.grad.clone())
put("clip.norm", torch.nn.utils.clip_grad_norm_([grads], 1.5).reshape(1))
put("clip.after", grads.grad)

path = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "torch_ops.bin"
path.parent.mkdir(exist_ok=True)
with open(path, "wb") as out:
    out.write(b"SUTFIX1\n" + struct.pack("<I", len(tensors)))
    for name, a in tensors:
        encoded = name.encode()
        out.write(struct.pack("<I", len(encoded)) + encoded)
        out.write(struct.pack("<BB", 1 if a.dtype == np.int32 else 0, a.ndim) + struct.pack(f"<{a.ndim}q", *a.shape))
        out.write(a.tobytes())
print(f"{path}: {path.stat().st_size} bytes, {len(tensors)} tensors, PyTorch {torch.__version__}")
