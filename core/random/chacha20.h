#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "core/bytes.h"

namespace sutura {

/// Compiled versions of the keystream; every one makes the same bytes.
enum class ChaChaPath { kBaseline, kAvx2, kAvx512 };
/// The fastest path that this CPU and its operating system run.
ChaChaPath fastest_chacha_path();

/// A 256-bit key that is wiped when it goes. Move-only: a copy would be a second place to wipe.
/// A forked process shares the bytes of its parent: whoever keeps a key across fork() must take a fresh one in the child.
class ChaChaKey {
 public:
  /// 32 fresh bytes from the operating system (getrandom). Errors: kInternal if libsodium does not start.
  static ChaChaKey fresh();
  /// Errors: kInvalidArgument unless there are exactly 32 bytes.
  explicit ChaChaKey(ByteSpan bytes);
  ~ChaChaKey();
  ChaChaKey(ChaChaKey&& other) noexcept;
  ChaChaKey& operator=(ChaChaKey&& other) noexcept;
  ChaChaKey(const ChaChaKey&) = delete;
  ChaChaKey& operator=(const ChaChaKey&) = delete;

  /// Sub-key BLAKE2b(key = this, message = context): independent keys for independent contexts.
  ChaChaKey derive(ByteSpan context) const;
  std::span<const std::uint32_t, 8> words() const { return words_; }

 private:
  ChaChaKey() = default;
  std::array<std::uint32_t, 8> words_{};
};

/// The 96-bit nonce, as the three little-endian words of RFC 8439.
using ChaChaNonce = std::array<std::uint32_t, 3>;

inline constexpr std::size_t kChaChaBlockBytes = 64;

/// Keystream blocks counter, counter + 1, ... of RFC 8439 (20 rounds, 32-bit block counter).
/// Shapes   out: any whole number of 64-byte blocks.
/// Numbers  The same bytes on every path; no secret-dependent branch or address.
/// Errors   kInvalidArgument for a partial block, a counter that would pass 2^32, or a path this CPU does not have.
/// Source   RFC 8439 section 2.3 and 2.4.
void chacha20_keystream(const ChaChaKey& key, const ChaChaNonce& nonce, std::uint32_t counter, std::span<std::byte> out,
                        ChaChaPath path = fastest_chacha_path());

/// Overwrites memory in a way that the compiler keeps.
void wipe(std::span<std::byte> memory);

}  // namespace sutura
