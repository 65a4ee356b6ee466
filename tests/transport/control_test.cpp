#include "transport/control.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <functional>
#include <new>
#include <random>

#include "transport/codec.h"

namespace {
// The largest single allocation since the latest reset, over the whole program: what a size bomb would raise.
std::atomic<std::size_t> largest_allocation{0};

// Sanitizers bring their own allocator; there the bodies are still attacked, only the size is not measured.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kCounting = false;
}  // namespace
#else
constexpr bool kCounting = true;

void* counted(std::size_t size) {
  std::size_t seen = largest_allocation.load();
  while (seen < size && !largest_allocation.compare_exchange_weak(seen, size)) {}
  if (void* p = std::malloc(size)) return p;
  throw std::bad_alloc();
}
}  // namespace

void* operator new(std::size_t size) { return counted(size); }
void* operator new[](std::size_t size) { return counted(size); }
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t) noexcept { std::free(p); }
#endif

namespace sutura {
namespace {

constexpr std::size_t kAllowed = std::size_t{1} << 20;

Hello some_hello() {
  Hello b;
  b.software = "sutura 0.1";
  b.backend = "reference";
  b.site = "north";
  b.plan_digest.fill(std::byte{7});
  b.sizes = {600, 100, 100};
  b.nonce = 0x1234567890abcdef;
  return b;
}

Welcome some_welcome() { return {7, 8, {"north", "south"}, {{1, 2, 3}, {4, 5, 6}}}; }
Reject some_reject() { return {Errc::kPlanMismatch, true, "the plans differ", "seed: 1\n"}; }
Report some_report() { return {R"({"loss": 1})"}; }

Errc code_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.code();
  }
  return Errc::kInternal;
}

TEST(Control, RoundTrip) {
  const Hello hello = from_message<Hello>(to_message(some_hello()));
  EXPECT_EQ(hello.protocol, 1u);
  EXPECT_EQ(hello.software, "sutura 0.1");
  EXPECT_EQ(hello.backend, "reference");
  EXPECT_EQ(hello.site, "north");
  EXPECT_EQ(hello.plan_digest, some_hello().plan_digest);
  EXPECT_EQ(hello.sizes, some_hello().sizes);
  EXPECT_EQ(hello.nonce, some_hello().nonce);
  const Welcome welcome = from_message<Welcome>(to_message(some_welcome()));
  EXPECT_EQ(welcome.run, 7u);
  EXPECT_EQ(welcome.nonce, 8u);
  EXPECT_EQ(welcome.sites, some_welcome().sites);
  EXPECT_EQ(welcome.sizes, some_welcome().sizes);
  const Reject reject = from_message<Reject>(to_message(some_reject()));
  EXPECT_EQ(reject.code, Errc::kPlanMismatch);
  EXPECT_TRUE(reject.retryable);
  EXPECT_EQ(reject.text, "the plans differ");
  EXPECT_EQ(reject.canonical_plan, "seed: 1\n");
  EXPECT_EQ(from_message<Report>(to_message(some_report())).json, some_report().json);
  EXPECT_EQ(to_message(some_hello()).type, MessageType::kHello);
  EXPECT_EQ(to_message(some_hello()).tag.leg, Leg::kControl);
}

template <class T>
void attack(const Message& valid) {
  const auto read = [](const Message& m) { return code_of([&] { from_message<T>(m); }); };
  ASSERT_EQ(read(valid), Errc::kInternal);
  largest_allocation = 0;
  for (std::size_t keep = 0; keep < valid.control.size(); ++keep) {
    Message cut = valid;
    cut.control.resize(keep);
    ASSERT_EQ(read(cut), Errc::kProtocol) << "cut to " << keep;
  }
  Message longer = valid;
  longer.control.push_back(std::byte{0});
  EXPECT_EQ(read(longer), Errc::kProtocol) << "trailing byte";
  Message other = valid;
  other.type = MessageType::kGoodbye;
  EXPECT_EQ(read(other), Errc::kProtocol) << "another type";
  // A count anywhere: every offset gets every bomb, with and without enough bytes behind it.
  for (const std::uint32_t bomb : {0xffffffffu, 0x7fffffffu, 0x10000000u, 0x00100000u, 0xfff0u, 1024u, 1025u, 4096u}) {
    for (const std::size_t padding : {std::size_t{0}, std::size_t{60000}}) {
      for (std::size_t at = 0; at + 4 <= valid.control.size(); ++at) {
        Message bombed = valid;
        bombed.control.resize(valid.control.size() + padding);
        store_le(std::span(bombed.control), at, bomb);
        const Errc code = read(bombed);
        ASSERT_TRUE(code == Errc::kProtocol || code == Errc::kInternal) << "offset " << at;
      }
    }
  }
  EXPECT_LE(largest_allocation.load(), kAllowed);
}

TEST(Control, HostileBodiesAreRefusedWithoutLargeAllocations) {
  attack<Hello>(to_message(some_hello()));
  attack<Welcome>(to_message(some_welcome()));
  attack<Reject>(to_message(some_reject()));
  attack<Report>(to_message(some_report()));
}

// The allocation counter itself must be able to see a bomb.
TEST(Control, AllocationCounterSeesAnAllocation) {
  if (!kCounting) GTEST_SKIP() << "a sanitizer owns the allocator";
  largest_allocation = 0;
  { const std::vector<char> big(kAllowed + 1); }
  EXPECT_GT(largest_allocation.load(), kAllowed);
}

TEST(Control, RandomFramesNeverAllocateMoreThanTheyHold) {
  std::mt19937_64 random(5);
  Message m = to_message(some_hello());
  FrameHeader h;
  const auto encoded = encode(h, m);
  largest_allocation = 0;
  int refused = 0;
  for (int round = 0; round < 5000; ++round) {
    std::vector<Bytes> frames;
    for (const auto& f : encoded) frames.push_back(*f);
    for (int k = 0; k < 3; ++k) {
      Bytes& frame = frames[random() % frames.size()];
      frame[random() % frame.size()] = static_cast<std::byte>(random());
    }
    const std::vector<ByteSpan> views(frames.begin(), frames.end());
    if (code_of([&] { decode(views); }) == Errc::kProtocol) ++refused;
  }
  EXPECT_GT(refused, 4900);
  EXPECT_LE(largest_allocation.load(), kMaxControlBytes);
}

TEST(Control, WriterKeepsTheBounds) {
  Hello hello = some_hello();
  hello.site.assign(kMaxName + 1, 'x');
  EXPECT_EQ(code_of([&] { to_message(hello); }), Errc::kInvalidArgument);
  Report report{std::string(kMaxReport + 1, 'x')};
  EXPECT_EQ(code_of([&] { to_message(report); }), Errc::kInvalidArgument);
  // A refusal is cut rather than lost.
  const Reject cut =
      from_message<Reject>(to_message(Reject{Errc::kConfig, false, std::string(9999, 'x'), std::string(99999, 'y')}));
  EXPECT_EQ(cut.text.size(), kMaxText);
  EXPECT_EQ(cut.canonical_plan.size(), kMaxPlanText);
}

TEST(Control, UnknownCodesAreRefused) {
  Message m = to_message(some_reject());
  m.control[0] = std::byte{16};
  EXPECT_EQ(code_of([&] { from_message<Reject>(m); }), Errc::kProtocol);
  m = to_message(some_reject());
  m.control[1] = std::byte{2};
  EXPECT_EQ(code_of([&] { from_message<Reject>(m); }), Errc::kProtocol);
}

TEST(Control, TextOfAPeerIsEscaped) {
  EXPECT_EQ(escaped("a\nb\x1b[31m\\\xc3"), "a\\x0ab\\x1b[31m\\x5c\\xc3");
  const Error error = refusal({Errc::kPlanMismatch, false, "no\r\nFAKE", ""});
  EXPECT_EQ(error.code(), Errc::kPlanMismatch);
  EXPECT_STREQ(error.what(), "the peer refused: no\\x0d\\x0aFAKE");
}

}  // namespace
}  // namespace sutura
