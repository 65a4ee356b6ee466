#pragma once
#include "models/layers/option_reader.h"
#include "models/network.h"

namespace sutura {

/// Fully connected network for rows [N, D].
/// Layers: fc1, act1, (drop1,) fc2, act2, ..., out. Options: `hidden` (list of widths, [64, 32]; [] is logistic regression),
/// `activation` (relu, gelu), `dropout` (0: no such layers).
Network make_mlp(OptionReader& options, const Shape& x, std::int64_t outputs);

/// Small convolutional network for grey pictures [N, H, W, C], H and W at least 8: five 3x3 convolutions with 1, 2, 2, 4, 4 times
/// `width` filters, each followed by a group norm and a relu; 2x2 max pooling after the first and third; 156,769 weights for
/// one channel, one output and the default width.
/// Layers: conv1, norm1, act1, pool1, conv2, norm2, act2, conv3, norm3, act3, pool3, conv4, norm4, act4, conv5, norm5,
/// act5, pool, drop, out. Options: `width` (24), `dropout` (0.3).
Network make_xray_cnn(OptionReader& options, const Shape& x, std::int64_t outputs);

/// ResNet-18 (He et al. 2016, in torchvision's structure) for [N, H, W, C]; 11,168,193 weights for one channel, one output.
/// Layers: stem.conv, stem.norm, stem.act, (stem.pool,) stage1.0, stage1.1, ..., stage4.1, pool, out.
/// Options: `width` (64), `stem` (cifar: 3x3, stride 1, no pooling; imagenet: 7x7, stride 2, 3x3 max pooling),
/// `norm` (group, batch). Initialisation is PyTorch's layer default, not torchvision's kaiming_normal(fan_out).
Network make_resnet18(OptionReader& options, const Shape& x, std::int64_t outputs);

/// 1-D convolutional network for signals [N, 1, L, C], L at least 8: four convolutions with `width` times 1, 2, 2, 3 filters,
/// each followed by a group norm and a relu; pooling by 2 after the first three.
/// Layers: conv1, norm1, act1, pool1, ..., conv4, norm4, act4, pool, drop, out.
/// Options: `width` (32), `kernel` (11, odd), `dropout` (0.2).
Network make_ecg_cnn1d(OptionReader& options, const Shape& x, std::int64_t outputs);

}  // namespace sutura
