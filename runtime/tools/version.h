#pragma once

namespace sutura {

inline constexpr char kVersion[] = "0.1.0";
inline constexpr char kVersionText[] = "sutura 0.1.0";

}  // namespace sutura
