#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <optional>
#include <string>
#include <utility>

#include "core/error.h"
#include "core/file.h"
#include "tests/unit/child.h"
#include "tests/unit/scratch.h"

namespace sutura {
namespace {

using testing::Child;
using testing::Scratch;

/// Runs `action`, which must throw Error(code), and returns the message.
template <class Action>
std::string message_of(Errc code, Action action) {
  try {
    action();
  } catch (const Error& e) {
    EXPECT_EQ(name(e.code()), name(code)) << e.what();
    return e.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

TEST(DurableLog, AppendsAlsoAfterReopening) {
  const Scratch scratch;
  const auto path = scratch.path("log");
  const mode_t before = ::umask(0);
  {
    DurableLog log(path);
    EXPECT_EQ(log.path(), path);
    log.append(as_bytes("one;"));
    EXPECT_EQ(read_text_file(path), "one;") << "there when append() returns, not only at the end";
    log.append({});
    log.append(as_bytes("two;"));
  }
  ::umask(before);
  {
    DurableLog log(path);
    log.append(as_bytes("three;"));
  }
  EXPECT_EQ(read_text_file(path), "one;two;three;");
  struct stat st {};
  ASSERT_EQ(::stat(path.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0600u);
}

TEST(DurableLog, TruncateCutsAndAppendsGoOnThere) {
  const Scratch scratch;
  const auto path = scratch.path("log");
  DurableLog log(path);
  log.append(as_bytes("whole;torn"));
  log.truncate(6);
  EXPECT_EQ(read_text_file(path), "whole;");
  log.append(as_bytes("next;"));
  EXPECT_EQ(read_text_file(path), "whole;next;");
  log.truncate(11);
  EXPECT_EQ(read_text_file(path), "whole;next;");
  log.truncate(0);
  EXPECT_EQ(read_text_file(path), "");
}

TEST(DurableLog, TruncateNeverLengthens) {
  const Scratch scratch;
  const auto path = scratch.path("log");
  DurableLog log(path);
  log.append(as_bytes("abc"));
  for (const std::uint64_t size : {std::uint64_t{4}, ~std::uint64_t{0}})
    message_of(Errc::kInvalidArgument, [&] { log.truncate(size); });
  EXPECT_EQ(read_text_file(path), "abc");
  log.append(as_bytes("d"));  // a caller's mistake does not spoil the log
  EXPECT_EQ(read_text_file(path), "abcd");
}

TEST(DurableLog, OneWriterInTheSameProcess) {
  const Scratch scratch;
  std::optional<DurableLog> first(scratch.path("log"));
  EXPECT_TRUE(contains(message_of(Errc::kResources, [&] { DurableLog second(scratch.path("log")); }), "another process"));
  EXPECT_NO_THROW(DurableLog other(scratch.path("other log")));
  first.reset();
  EXPECT_NO_THROW(DurableLog second(scratch.path("log")));
}

TEST(DurableLog, OneWriterOfAllProcessesUntilItEnds) {
  const Scratch scratch;
  const auto path = scratch.path("log");
  Child holder([&](Child& self) {
    DurableLog log(path);
    log.append(as_bytes("child;"));
    self.say_ready();
    ::pause();
    return 0;
  });
  ASSERT_TRUE(holder.await());
  const std::string text = message_of(Errc::kResources, [&] { DurableLog log(path); });
  EXPECT_TRUE(contains(text, "another process") && contains(text, path.string())) << text;
  EXPECT_EQ(read_text_file(path), "child;") << "reading needs no lock, and the refused one changed nothing";
  holder.kill();
  EXPECT_EQ(holder.wait(), -SIGKILL);
  DurableLog log(path);  // a crash leaves no lock behind
  log.append(as_bytes("parent;"));
  EXPECT_EQ(read_text_file(path), "child;parent;");
}

TEST(DurableLog, MovingTakesTheLockAlong) {
  const Scratch scratch;
  const auto path = scratch.path("log");
  std::optional<DurableLog> first(path);
  std::optional<DurableLog> second(std::move(*first));
  first.reset();
  message_of(Errc::kResources, [&] { DurableLog third(path); });
  second->append(as_bytes("moved"));
  EXPECT_EQ(read_text_file(path), "moved");
  second.reset();
  EXPECT_NO_THROW(DurableLog third(path));
}

TEST(DurableLog, NothingAfterAFailedWrite) {
  const Scratch scratch;
  const auto path = scratch.path("log");
  Child child([&](Child&) {
    std::signal(SIGXFSZ, SIG_IGN);
    rlimit limit{};
    ::getrlimit(RLIMIT_FSIZE, &limit);
    const rlim_t unlimited = std::exchange(limit.rlim_cur, 150);
    DurableLog log(path);
    ::setrlimit(RLIMIT_FSIZE, &limit);
    log.append(Bytes(100, std::byte{'a'}));
    const std::string text = message_of(Errc::kResources, [&] { log.append(Bytes(100, std::byte{'b'})); });
    EXPECT_TRUE(contains(text, "cannot write: File too large") && contains(text, path.string())) << text;
    limit.rlim_cur = unlimited;  // the disk has room again: still nothing
    ::setrlimit(RLIMIT_FSIZE, &limit);
    EXPECT_TRUE(contains(message_of(Errc::kResources, [&] { log.append(as_bytes("c")); }), "earlier write failed"));
    EXPECT_TRUE(contains(message_of(Errc::kResources, [&] { log.truncate(100); }), "earlier write failed"));
    DurableLog moved(std::move(log));
    EXPECT_TRUE(contains(message_of(Errc::kResources, [&] { moved.append(as_bytes("c")); }), "earlier write failed"));
    return ::testing::Test::HasFailure() ? 1 : 0;
  });
  EXPECT_EQ(child.wait(), 0);
  EXPECT_EQ(read_text_file(path), std::string(100, 'a') + std::string(50, 'b')) << "the torn record, and nothing after it";
  DurableLog log(path);
  log.truncate(100);
  log.append(as_bytes("c"));
  EXPECT_EQ(read_text_file(path), std::string(100, 'a') + "c");
}

TEST(DurableLog, NothingAfterAFailedSync) {
  // Bytes go into a pipe, but a pipe cannot be synced.
  const Scratch scratch;
  const auto path = scratch.path("pipe");
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  DurableLog log(path);
  EXPECT_TRUE(contains(message_of(Errc::kResources, [&] { log.append(as_bytes("x")); }), "cannot sync"));
  EXPECT_TRUE(contains(message_of(Errc::kResources, [&] { log.append(as_bytes("y")); }), "earlier write failed"));
}

TEST(DurableLog, WhatCannotBeOpenedIsNamed) {
  const Scratch scratch;
  const auto path = scratch.path("missing") / "log";
  const std::string text = message_of(Errc::kResources, [&] { DurableLog log(path); });
  EXPECT_TRUE(contains(text, path.string()) && contains(text, "No such file")) << text;
  EXPECT_TRUE(contains(message_of(Errc::kResources, [&] { DurableLog log(scratch.folder()); }), "Is a directory"));
}

}  // namespace
}  // namespace sutura
