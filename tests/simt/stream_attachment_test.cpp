// What a module keeps with a stream: one per Context, made with it, gone while the stream and its memory are still there.
#include <gtest/gtest.h>

#include "kernels/context.h"
#include "kernels/device_ops.h"
#include "kernels/device_stream.h"
#include "tests/simt/executor.h"

namespace sutura::testing {
namespace {

int made = 0, gone = 0;

class Kept final : public StreamAttachment {
 public:
  explicit Kept(DeviceStream& stream) : stream_(stream), memory_(stream.take(256)) { ++made; }
  /// Uses stream and memory, as a library's handle may when it is destroyed: a sanitizer sees it where they are gone.
  ~Kept() override {
    stream_.runtime().fill(stream_.stream(), memory_, 0, 256);
    stream_.runtime().synchronise(stream_.stream());
    ++gone;
  }

 private:
  DeviceStream& stream_;
  void* memory_;
};

TEST(StreamAttachment, IsMadeWithEveryContextAndGoesBeforeItsStream) {
  DeviceOps ops = simt::table();
  ops.attachment = [](DeviceStream& stream) -> std::unique_ptr<StreamAttachment> { return std::make_unique<Kept>(stream); };
  made = gone = 0;
  Tensor outlives;
  {
    const Context first(Backend::kCudnn, ops), second(Backend::kCudnn, ops);
    EXPECT_EQ(made, 2);
    EXPECT_NE(first.stream().attachment(), second.stream().attachment());
    outlives = first.zeros({4});
  }
  EXPECT_EQ(gone, 1) << "the stream of a tensor that is still there keeps its attachment";
  outlives = Tensor();
  EXPECT_EQ(gone, 2);
  const Context plain(Backend::kNative, simt::table());
  EXPECT_EQ(plain.stream().attachment(), nullptr);
}

}  // namespace
}  // namespace sutura::testing
