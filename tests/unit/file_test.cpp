#include "core/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <fstream>
#include <string>
#include <thread>

#include "core/error.h"
#include "tests/unit/child.h"
#include "tests/unit/scratch.h"

namespace sutura {
namespace {

using testing::Child;
using testing::Scratch;
using Names = std::set<std::string>;

/// Runs `action`, which must throw Error(code) with the path in its message.
template <class Action>
std::string message_of(Errc code, const std::filesystem::path& path, Action action) {
  try {
    action();
  } catch (const Error& e) {
    EXPECT_EQ(name(e.code()), name(code)) << e.what();
    EXPECT_NE(std::string(e.what()).find(path.string()), std::string::npos) << e.what();
    return e.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

void limit_file_size(rlim_t bytes) {
  std::signal(SIGXFSZ, SIG_IGN);  // so that write() fails with EFBIG, as it does with ENOSPC on a full disk
  rlimit limit{};
  ::getrlimit(RLIMIT_FSIZE, &limit);
  limit.rlim_cur = bytes;
  if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) std::abort();
}

TEST(WriteFile, CreatesReplacesAndLeavesNothingElse) {
  const Scratch scratch;
  const auto path = scratch.path("a.txt");
  write_file_durably(path, as_bytes("first content"));
  EXPECT_EQ(read_text_file(path), "first content");
  write_file_durably(path, as_bytes("second"));
  EXPECT_EQ(read_text_file(path), "second");
  write_file_durably(path, {});
  EXPECT_EQ(read_text_file(path), "");
  EXPECT_EQ(scratch.names(), Names{"a.txt"});
}

TEST(WriteFile, OnlyTheOwnerMayReadIt) {
  const Scratch scratch;
  const auto path = scratch.path("a");
  const mode_t before = ::umask(0);
  write_file_durably(path, as_bytes("x"));
  ::umask(before);
  struct stat st {};
  ASSERT_EQ(::stat(path.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0600u);
}

TEST(WriteFile, WhoHasTheOldFileOpenKeepsTheOldContent) {
  // This is what distinguishes replacing from overwriting.
  const Scratch scratch;
  const auto path = scratch.path("a");
  write_file_durably(path, as_bytes("old"));
  std::ifstream reader(path);
  std::filesystem::create_hard_link(path, scratch.path("link"));
  write_file_durably(path, as_bytes("NEW"));
  std::string seen;
  reader >> seen;
  EXPECT_EQ(seen, "old");
  EXPECT_EQ(read_text_file(scratch.path("link")), "old");
  EXPECT_EQ(read_text_file(path), "NEW");
}

TEST(WriteFile, ALinkIsReplacedNotFollowed) {
  const Scratch scratch;
  write_file_durably(scratch.path("target"), as_bytes("target"));
  std::filesystem::create_symlink("target", scratch.path("link"));
  write_file_durably(scratch.path("link"), as_bytes("x"));
  EXPECT_EQ(read_text_file(scratch.path("target")), "target");
  EXPECT_EQ(read_text_file(scratch.path("link")), "x");
}

TEST(WriteFile, ANameWithoutAFolderIsInTheWorkingFolder) {
  const Scratch scratch;
  Child child([&](Child&) {
    std::filesystem::current_path(scratch.folder());
    write_file_durably("here", as_bytes("x"));
    return read_text_file("here") == "x" ? 0 : 1;
  });
  EXPECT_EQ(child.wait(), 0);
  EXPECT_EQ(scratch.names(), Names{"here"});
}

TEST(WriteFile, LeftoversOfACrashAreNoObstacle) {
  const Scratch scratch;
  const auto path = scratch.path("a");
  // As in a container, where the process that crashed had the number that this one has.
  std::ofstream(path.string() + ".tmp." + std::to_string(::getpid())) << "torn";
  write_file_durably(path, as_bytes("whole"));
  EXPECT_EQ(read_text_file(path), "whole");
}

TEST(WriteFile, AFailedWriteKeepsTheOldContent) {
  const Scratch scratch;
  const auto path = scratch.path("a");
  write_file_durably(path, as_bytes("old content"));
  const Bytes large(10000, std::byte{1});
  Child child([&](Child&) {
    limit_file_size(4096);
    const std::string text = message_of(Errc::kResources, path, [&] { write_file_durably(path, large); });
    if (text.find("cannot write: File too large") == std::string::npos) return 1;
    write_file_durably(scratch.path("b"), as_bytes("below the limit"));
    return ::testing::Test::HasFailure() ? 2 : 0;
  });
  EXPECT_EQ(child.wait(), 0);
  EXPECT_EQ(read_text_file(path), "old content");
  EXPECT_EQ(scratch.names(), (Names{"a", "b"})) << "the temporary file is gone";
}

TEST(WriteFile, WhatIsInTheWayStays) {
  const Scratch scratch;
  const auto folder = scratch.path("folder");
  std::filesystem::create_directory(folder);
  std::ofstream(folder / "inside") << "x";
  std::string text = message_of(Errc::kResources, folder, [&] { write_file_durably(folder, as_bytes("x")); });
  EXPECT_NE(text.find("rename"), std::string::npos) << text;
  EXPECT_EQ(read_text_file(folder / "inside"), "x");

  const auto file = scratch.path("file");
  std::ofstream(file) << "y";
  text = message_of(Errc::kResources, file, [&] { write_file_durably(file / "below", as_bytes("x")); });
  EXPECT_NE(text.find("Not a directory"), std::string::npos) << text;
  EXPECT_EQ(read_text_file(file), "y");

  const auto nowhere = scratch.path("missing");
  text = message_of(Errc::kResources, nowhere, [&] { write_file_durably(nowhere / "a", as_bytes("x")); });
  EXPECT_NE(text.find("No such file"), std::string::npos) << text;

  const auto long_name = scratch.path(std::string(300, 'n'));
  text = message_of(Errc::kResources, long_name, [&] { write_file_durably(long_name, as_bytes("x")); });
  EXPECT_NE(text.find("name too long"), std::string::npos) << text;
  EXPECT_EQ(scratch.names(), (Names{"file", "folder"}));
}

TEST(WriteFile, AReaderSeesOneContentOrTheOther) {
  const Scratch scratch;
  const auto path = scratch.path("a");
  const Bytes contents[] = {Bytes(30000, std::byte{'a'}), Bytes(50000, std::byte{'b'})};
  write_file_durably(path, contents[0]);
  std::atomic<bool> done{false};
  std::atomic<bool> mixed{false};
  std::atomic<int> seen[2] = {};
  std::thread reader([&] {
    while (!done) {
      const Bytes bytes = read_file(path);
      const auto which = static_cast<std::size_t>(bytes.size() == contents[1].size());
      ++seen[which];
      if (bytes != contents[which]) mixed = true;
    }
  });
  int rounds = 0;
  for (; rounds < 5000 && (rounds < 200 || seen[0] == 0 || seen[1] == 0); ++rounds)
    write_file_durably(path, contents[rounds % 2]);
  done = true;
  reader.join();
  EXPECT_FALSE(mixed);
  EXPECT_GT(seen[0], 0);
  EXPECT_GT(seen[1], 0);
}

TEST(WriteFile, AKilledWriterLeavesOneContentOrTheOther) {
  const Scratch scratch;
  const auto path = scratch.path("a");
  const Bytes contents[] = {Bytes(200000, std::byte{'a'}), Bytes(300000, std::byte{'b'})};
  write_file_durably(path, contents[0]);
  for (int round = 0; round < 20; ++round) {
    Child writer([&](Child& self) {
      self.say_ready();
      for (int i = 1;; ++i) write_file_durably(path, contents[i % 2]);
      return 0;
    });
    ASSERT_TRUE(writer.await());
    ::usleep(static_cast<useconds_t>(200 + 137 * round));
    writer.kill();
    ASSERT_EQ(writer.wait(), -SIGKILL);
    const Bytes bytes = read_file(path);
    ASSERT_TRUE(bytes == contents[0] || bytes == contents[1]) << bytes.size();
  }
  write_file_durably(path, as_bytes("after all crashes"));
  EXPECT_EQ(read_text_file(path), "after all crashes");
}

TEST(ReadFile, GivesBytesAsTheyAre) {
  const Scratch scratch;
  const auto path = scratch.path("a");
  std::string content("\0\r\n\xff\x1a", 5);
  content += std::string(100000, 'z');
  std::ofstream(path, std::ios::binary) << content;
  EXPECT_EQ(read_text_file(path), content);
  EXPECT_TRUE(std::ranges::equal(read_file(path), as_bytes(content)));
  std::ofstream(scratch.path("empty"));
  EXPECT_TRUE(read_file(scratch.path("empty")).empty());
}

TEST(ReadFile, TheLimitIsTheLargestThatIsRead) {
  const Scratch scratch;
  const auto path = scratch.path("a");
  std::ofstream(path) << "12345";
  EXPECT_EQ(read_text_file(path, 5), "12345");
  message_of(Errc::kResources, path, [&] { read_file(path, 4); });
  message_of(Errc::kResources, path, [&] { read_text_file(path, 0); });
}

TEST(ReadFile, WhatIsNoFileIsRefused) {
  const Scratch scratch;
  const std::string missing = message_of(Errc::kData, scratch.path("missing"), [&] { read_file(scratch.path("missing")); });
  EXPECT_NE(missing.find("No such file"), std::string::npos) << missing;
  message_of(Errc::kData, scratch.folder(), [&] { read_file(scratch.folder()); });
  message_of(Errc::kData, "/dev/zero", [&] { read_file("/dev/zero"); });
}

TEST(ReadFile, APipeIsRefusedAtOnce) {
  const Scratch scratch;
  const auto pipe = scratch.path("pipe");
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  Child child([&](Child&) {
    ::alarm(5);  // a plain open() would wait for a writer for ever
    message_of(Errc::kData, pipe, [&] { read_file(pipe); });
    return ::testing::Test::HasFailure() ? 1 : 0;
  });
  EXPECT_EQ(child.wait(), 0);
}

}  // namespace
}  // namespace sutura
