#include "transport/codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <random>

#include "core/error.h"
#include "tests/transport/world.h"
#include "transport/control.h"

namespace sutura {
namespace {

std::vector<Bytes> copy_of(const std::vector<SharedFrame>& frames) {
  std::vector<Bytes> out;
  for (const SharedFrame& frame : frames) out.push_back(*frame);
  return out;
}

Decoded parse(const std::vector<Bytes>& frames) {
  std::vector<ByteSpan> views(frames.begin(), frames.end());
  return decode(views);
}

/// The code that decoding throws; kInternal stands for "accepted".
Errc verdict(const std::vector<Bytes>& frames) {
  try {
    parse(frames);
  } catch (const Error& e) {
    return e.code();
  }
  return Errc::kInternal;
}

FrameHeader some_header() {
  FrameHeader h;
  h.run = 0x1122334455667788;
  h.seq = 5;
  h.ack = 3;
  h.incarnation = 2;
  h.credit = 9;
  return h;
}

WireTensor tensor_of(DType dtype, const Shape& shape, std::uint64_t seed) {
  WireTensor t;
  t.dtype = dtype;
  t.shape = shape;
  std::mt19937_64 random(seed);
  t.data.resize(static_cast<std::size_t>(shape.elements()) * size_bytes(dtype));
  for (std::byte& b : t.data) b = static_cast<std::byte>(random());
  return t;
}

Message some_message() {
  Message m;
  m.tag = {7, Leg::kBackward, 0x0102030405060708, 6};
  m.control = Bytes(10, std::byte{42});
  m.tensors = {tensor_of(DType::kFloat32, {2, 3}, 1), tensor_of(DType::kUint8, {5}, 2), tensor_of(DType::kInt16, {}, 3)};
  return m;
}

/// Makes the checksums right again, so that the check behind them is reached.
void fix_header(std::vector<Bytes>& frames) {
  const ByteSpan h(frames[0]);
  const bool control = (load_le<std::uint8_t>(h, 7) & kFlagControl) && frames.size() > 1;
  store_le(std::span(frames[0]), 60, crc32(control ? ByteSpan(frames[1]) : ByteSpan{}, crc32(h.first(60))));
}
void fix_tensor(Bytes& frame) {
  store_le(std::span(frame), 4, crc32(ByteSpan(frame).subspan(8), crc32(ByteSpan(frame).first(4))));
}

TEST(Codec, RoundTripOfAllTypesAndShapes) {
  std::mt19937_64 random(11);
  for (int round = 0; round < 300; ++round) {
    Message m;
    m.tag = {static_cast<std::uint16_t>(random()), static_cast<Leg>(random() % 3), random(),
             static_cast<std::uint16_t>(random())};
    m.control.resize(random() % 100);
    for (std::size_t n = random() % (kMaxTensors + 1); n > 0; --n) {
      std::vector<std::int64_t> dims(random() % 7);
      for (auto& d : dims) d = static_cast<std::int64_t>(random() % 4);
      m.tensors.push_back(tensor_of(static_cast<DType>(1 + random() % 7), Shape(dims), random()));
    }
    FrameHeader h = some_header();
    h.seq = random();
    const EncodedPayload payload = encode_payload(m);
    const auto frames = encode(h, m);
    ASSERT_LE(frames.size(), kMaxFrames);
    const Decoded got = parse(copy_of(frames));
    EXPECT_EQ(got.header.seq, h.seq);
    EXPECT_EQ(got.header.run, h.run);
    EXPECT_EQ(got.header.ack, h.ack);
    EXPECT_EQ(got.header.incarnation, h.incarnation);
    EXPECT_EQ(got.header.credit, h.credit);
    EXPECT_EQ(got.message.type, m.type);
    EXPECT_EQ(got.message.tag, m.tag);
    EXPECT_EQ(got.message.control, m.control);
    EXPECT_EQ(got.message.tensors, m.tensors);
    EXPECT_EQ(got.digest, payload.digest);
    std::uint64_t bytes = 0;
    for (const auto& f : frames) bytes += f->size();
    EXPECT_EQ(frame_bytes(m), bytes);
  }
}

// Frozen: a change here is a new major version and an entry in docs/wire_format.md.
TEST(Codec, BytesOnTheWire) {
  Message m;
  m.tag = {7, Leg::kBackward, 0x0102030405060708, 6};
  WireTensor t;
  t.dtype = DType::kUint8;
  t.shape = Shape{3};
  t.data = {std::byte{1}, std::byte{2}, std::byte{3}};
  m.tensors.push_back(t);
  const auto frames = encode(some_header(), m);
  ASSERT_EQ(frames.size(), 2u);
  EXPECT_EQ(to_hex(*frames[0]).substr(0, 120),
            "53555452"
            "01"
            "00"
            "04"
            "00"
            "8877665544332211"
            "0500000000000000"
            "0300000000000000"
            "0807060504030201"
            "02000000"
            "0700"
            "01"
            "02"
            "2300000000000000"
            "0600"
            "0900");
  EXPECT_EQ(to_hex(*frames[1]).substr(0, 8), "06010000");
  EXPECT_EQ(to_hex(*frames[1]).substr(16),
            "0300000000000000000000000000000000000000000000000"
            "10203");
}

TEST(Codec, EveryCutIsRefused) {
  const auto whole = copy_of(encode(some_header(), some_message()));
  ASSERT_EQ(verdict(whole), Errc::kInternal);
  for (std::size_t f = 0; f < whole.size(); ++f) {
    for (std::size_t keep = 0; keep < whole[f].size(); ++keep) {
      auto cut = whole;
      cut[f].resize(keep);
      ASSERT_EQ(verdict(cut), Errc::kProtocol) << "frame " << f << " cut to " << keep;
    }
    auto longer = whole;
    longer[f].push_back(std::byte{0});
    EXPECT_EQ(verdict(longer), Errc::kProtocol);
    auto missing = whole;
    missing.erase(missing.begin() + static_cast<std::ptrdiff_t>(f));
    EXPECT_EQ(verdict(missing), Errc::kProtocol);
    auto extra = whole;
    extra.insert(extra.begin() + static_cast<std::ptrdiff_t>(f), whole[f]);
    EXPECT_EQ(verdict(extra), Errc::kProtocol);
  }
  EXPECT_EQ(verdict({}), Errc::kProtocol);
  EXPECT_EQ(verdict(std::vector<Bytes>(17, whole[0])), Errc::kProtocol);
}

TEST(Codec, EveryFlippedBitIsRefused) {
  const auto whole = copy_of(encode(some_header(), some_message()));
  for (std::size_t f = 0; f < whole.size(); ++f) {
    for (std::size_t bit = 0; bit < 8 * whole[f].size(); ++bit) {
      auto flipped = whole;
      flipped[f][bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
      ASSERT_EQ(verdict(flipped), Errc::kProtocol) << "frame " << f << " bit " << bit;
    }
  }
}

// With the checksum made right, the fields themselves must be checked. The minor version may differ by design.
TEST(Codec, ForgedHeaderFieldsAreRefused) {
  const auto whole = copy_of(encode(some_header(), some_message()));
  struct Forgery {
    const char* what;
    std::size_t offset;
    std::uint8_t value;
    Errc wanted;
  };
  const Forgery table[] = {
      {"magic", 0, 0x54, Errc::kProtocol},
      {"major version 2", 4, 2, Errc::kProtocol},
      {"minor version 9", 5, 9, Errc::kInternal},
      {"type 0", 6, 0, Errc::kProtocol},
      {"type 8", 6, 8, Errc::kProtocol},
      {"tensors in a hello", 6, 1, Errc::kProtocol},
      {"tensors in an ack", 6, 7, Errc::kProtocol},
      {"unknown flag", 7, 0x11, Errc::kProtocol},
      {"ask flag on data", 7, 0x03, Errc::kProtocol},
      {"control flag cleared", 7, 0x00, Errc::kProtocol},
      {"control leg", 46, 3, Errc::kProtocol},
      {"leg 4", 46, 4, Errc::kProtocol},
      {"one frame more", 47, 6, Errc::kProtocol},
      {"no frames", 47, 0, Errc::kProtocol},
      {"other byte count", 48, 0, Errc::kProtocol},
      {"huge byte count", 55, 0xff, Errc::kProtocol},
  };
  for (const Forgery& forgery : table) {
    auto forged = whole;
    forged[0][forgery.offset] = static_cast<std::byte>(forgery.value);
    fix_header(forged);
    EXPECT_EQ(verdict(forged), forgery.wanted) << forgery.what;
  }
}

TEST(Codec, ForgedTensorsAreRefused) {
  Message m;
  m.tag = {1, Leg::kForward, 1, 0};
  m.tensors = {tensor_of(DType::kFloat32, {2, 3}, 1)};
  const auto whole = copy_of(encode(some_header(), m));
  const auto forge = [&](const auto& change) {
    auto forged = whole;
    change(forged[1]);
    fix_tensor(forged[1]);
    store_le(std::span(forged[0]), 48, std::uint64_t{forged[1].size()});
    fix_header(forged);
    return verdict(forged);
  };
  const auto dim = [](Bytes& b, std::size_t i, std::uint32_t v) { store_le(std::span(b), 8 + 4 * i, v); };
  EXPECT_EQ(forge([](Bytes&) {}), Errc::kInternal);
  EXPECT_EQ(forge([](Bytes& b) { b[0] = std::byte{0}; }), Errc::kProtocol) << "dtype 0";
  EXPECT_EQ(forge([](Bytes& b) { b[0] = std::byte{8}; }), Errc::kProtocol) << "dtype 8";
  EXPECT_EQ(forge([](Bytes& b) { b[1] = std::byte{7}; }), Errc::kProtocol) << "rank 7";
  EXPECT_EQ(forge([](Bytes& b) { b[1] = std::byte{1}; }), Errc::kProtocol) << "a dimension beyond the rank";
  EXPECT_EQ(forge([](Bytes& b) { b[2] = std::byte{1}; }), Errc::kProtocol) << "reserved";
  EXPECT_EQ(forge([&](Bytes& b) { dim(b, 1, 4); }), Errc::kProtocol) << "more elements than bytes";
  EXPECT_EQ(forge([&](Bytes& b) { dim(b, 1, 2); }), Errc::kProtocol) << "trailing bytes";
  EXPECT_EQ(forge([&](Bytes& b) { dim(b, 0, 0xffffffff), dim(b, 1, 0xffffffff); }), Errc::kProtocol) << "overflow";
  // 2^31 * 2^31 * 4 wraps to 0 modulo 2^64: a product that is not checked would match an empty frame.
  EXPECT_EQ(forge([&](Bytes& b) { dim(b, 0, 0x80000000), dim(b, 1, 0x80000000), b.resize(32); }), Errc::kProtocol) << "wrap";
  EXPECT_EQ(forge([&](Bytes& b) { dim(b, 0, 0), b.resize(32); }), Errc::kInternal) << "an empty tensor is the plan's business";
}

TEST(Codec, WriterRefusesWhatTheFormatCannotHold) {
  const auto code = [](const Message& m) {
    try {
      encode_payload(m);
    } catch (const Error& e) {
      return e.code();
    }
    return Errc::kInternal;
  };
  Message m = some_message();
  EXPECT_EQ(code(m), Errc::kInternal);
  m.tensors[0].data.pop_back();
  EXPECT_EQ(code(m), Errc::kInvalidArgument);
  m = some_message();
  m.tensors.resize(15, m.tensors[0]);
  EXPECT_EQ(code(m), Errc::kInvalidArgument);
  m = some_message();
  m.control.resize(kMaxControlBytes + 1);
  EXPECT_EQ(code(m), Errc::kInvalidArgument);
  m = some_message();
  m.type = MessageType::kReport;
  EXPECT_EQ(code(m), Errc::kInvalidArgument);
  m = some_message();
  m.tag.leg = Leg::kControl;
  EXPECT_EQ(code(m), Errc::kInvalidArgument);
}

TEST(Codec, DigestSeesContentAndAddress) {
  const Message m = some_message();
  const Digest whole = encode_payload(m).digest;
  EXPECT_EQ(encode_payload(some_message()).digest, whole);
  Message other = m;
  other.tensors[1].data[3] ^= std::byte{1};
  EXPECT_NE(encode_payload(other).digest, whole);
  other = m;
  other.control[0] ^= std::byte{1};
  EXPECT_NE(encode_payload(other).digest, whole);
  other = m;
  other.tag.micro_batch++;
  EXPECT_NE(encode_payload(other).digest, whole);
}

TEST(Codec, ExpectComparesWithThePlan) {
  const WireTensor t = tensor_of(DType::kFloat32, {4, 2}, 1);
  EXPECT_NO_THROW(expect(t, DType::kFloat32, {4, 2}));
  EXPECT_THROW(expect(t, DType::kInt32, {4, 2}), Error);
  EXPECT_THROW(expect(t, DType::kFloat32, {2, 4}), Error);
  EXPECT_THROW(expect(t, DType::kFloat32, {8}), Error);
  WireTensor lying = t;
  lying.data.resize(4);
  EXPECT_THROW(expect(lying, DType::kFloat32, {4, 2}), Error);
}

template <class T>
WireTensor filled(DType dtype, T value, std::int64_t n, std::int64_t at, T special) {
  WireTensor t;
  t.dtype = dtype;
  t.shape = Shape{n};
  std::vector<T> values(static_cast<std::size_t>(n), value);
  values[static_cast<std::size_t>(at)] = special;
  const ByteSpan raw = as_bytes(values);
  t.data.assign(raw.begin(), raw.end());
  return t;
}

TEST(Codec, FiniteScanFindsEverySpecialValue) {
  using F = std::numeric_limits<float>;
  using D = std::numeric_limits<double>;
  for (std::int64_t at = 0; at < 67; ++at) {
    for (const float good : {F::max(), F::lowest(), F::denorm_min(), -0.0f})
      EXPECT_TRUE(all_finite(filled(DType::kFloat32, 1.0f, 67, at, good)));
    for (const float bad : {F::infinity(), -F::infinity(), F::quiet_NaN(), F::signaling_NaN()}) {
      EXPECT_FALSE(all_finite(filled(DType::kFloat32, 1.0f, 67, at, bad)));
      EXPECT_FALSE(all_finite(filled(DType::kFloat64, 1.0, 67, at, static_cast<double>(bad))));
      EXPECT_FALSE(all_finite(filled<std::uint16_t>(DType::kBfloat16, 0x3f80, 67, at, to_bf16(bad).bits)));
    }
    EXPECT_TRUE(all_finite(filled(DType::kFloat64, 1.0, 67, at, D::max())));
    EXPECT_TRUE(all_finite(filled<std::uint16_t>(DType::kBfloat16, 0x3f80, 67, at, 0x7f7f)));
    EXPECT_TRUE(all_finite(filled(DType::kInt32, 1, 67, at, 0x7f800000)));
  }
  Message m;
  m.tensors.push_back(filled(DType::kFloat32, 1.0f, 5, 4, F::quiet_NaN()));
  EXPECT_THROW(require_finite(m), Error);
}

}  // namespace
}  // namespace sutura
