#include "runtime/privacy/guard.h"

#include <unistd.h>

#include <array>
#include <string_view>
#include <utility>

#include "core/error.h"
#include "core/failpoint.h"

namespace sutura {
namespace {

void put(Bytes& to, std::string_view text) {
  const auto size = static_cast<std::uint64_t>(text.size());
  const ByteSpan length = std::as_bytes(std::span(&size, 1));
  to.insert(to.end(), length.begin(), length.end());
  const ByteSpan bytes = as_bytes(text);
  to.insert(to.end(), bytes.begin(), bytes.end());
}
template <class T>
void put_number(Bytes& to, T value) {
  const ByteSpan bytes = std::as_bytes(std::span(&value, 1));
  to.insert(to.end(), bytes.begin(), bytes.end());
}

ChaChaKey test_key(NotPrivateTestNoise noise) {
  Bytes text;
  put(text, "NOT PRIVATE test noise");
  put_number(text, noise.seed);
  const Digest d = blake2b(text);
  return ChaChaKey{ByteSpan(d)};
}

}  // namespace

Tensor decode_rows(Context& ctx, const RowSettings& settings, const Tensor& wire) {
  require(wire.defined(), Errc::kInvalidArgument, "there is no released tensor to decode");
  Tensor rows = ctx.tensor(wire.shape());
  dequantise_rows(ctx, settings, ctx.here(Tensor::borrow(wire)), rows);
  return rows;
}

RowGuard::RowGuard(const RowPlan& plan, std::string site, Ledger& ledger, Journal& journal)
    : plan_(plan),
      site_(std::move(site)),
      ledger_(ledger),
      journal_(journal),
      source_(NoiseSource::kOperatingSystem),
      master_(ChaChaKey::fresh()),
      owner_process_(::getpid()) {}

RowGuard::RowGuard(const RowPlan& plan, std::string site, Ledger& ledger, Journal& journal, NotPrivateTestNoise noise)
    : plan_(plan),
      site_(std::move(site)),
      ledger_(ledger),
      journal_(journal),
      source_(NoiseSource::kTestSeed),
      master_(test_key(noise)),
      owner_process_(::getpid()) {}

ChaChaKey RowGuard::key_of(const ReleaseKey& key) {
  if (source_ == NoiseSource::kOperatingSystem && owner_process_ != ::getpid()) {
    master_ = ChaChaKey::fresh();  // the parent of this fork still uses the old one
    owner_process_ = ::getpid();
  }
  Bytes context;
  put(context, "row-noise");
  put(context, journal_.run());
  put(context, site_);
  put_number(context, key.edge);
  put_number(context, key.micro_batch);
  put_number(context, key.purpose);
  return master_.derive(context);
}

/// The journalled release, paid for. A crash between journal and ledger leaves one that is not: it was never sent, so it
/// is charged (and may be refused) now.
std::optional<Tensor> RowGuard::replay(const Tensor& rows, std::span<const std::int64_t> records, const ReleaseKey& key) {
  std::optional<Tensor> wire = journal_.lookup(key, records);
  const bool paid = ledger_.charged(journal_.run(), key);
  if (!wire) {
    require(!paid, Errc::kData,
            "the privacy ledger has charged this release but the run's journal does not hold its bytes: "
            "drawing again would release the same rows under a second noise. Use a new run.");
    return std::nullopt;
  }
  require(wire->shape() == rows.shape() && wire->dtype() == wire_dtype(), Errc::kData,
          "a replayed release has another shape or type than the journalled one");
  if (!paid) ledger_.charge(journal_.run(), key, records, event());
  return wire;
}

Tensor RowGuard::release(Context& ctx, const Tensor& rows, std::span<const std::int64_t> records, const ReleaseKey& key) {
  require(rows.defined() && rows.shape().rank() >= 2 && static_cast<std::size_t>(rows.shape()[0]) == records.size(),
          Errc::kShapeMismatch, "a release needs one record per row");
  if (std::optional<Tensor> again = replay(rows, records, key)) return std::move(*again);
  ledger_.check(records, event());

  Tensor wire = ctx.pinned(rows.shape(), wire_dtype());
  const ChaChaKey noise_key = key_of(key);
  release_rows(ctx, plan_.settings, noise_key, NoiseNonce{key.step, 0}, 0, rows, wire);
  ctx.synchronise();  // the journal reads the bytes
  failpoint("guard.after_noise");
  journal_.append(key, records, wire);
  failpoint("guard.after_journal");
  ledger_.charge(journal_.run(), key, records, event());
  failpoint("guard.after_ledger");
  return wire;
}

Tensor RowGuard::decode(Context& ctx, const Tensor& wire) const { return decode_rows(ctx, plan_.settings, wire); }

Tensor RowGuard::backward(Context& ctx, const Tensor& rows, const Tensor& grad) const {
  Tensor grad_rows = ctx.tensor(rows.shape());
  clip_backward(ctx, plan_.settings, rows, grad, grad_rows);
  return grad_rows;
}

}  // namespace sutura
