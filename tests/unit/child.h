#pragma once
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <utility>

namespace sutura::testing {

/// A forked process that runs `body` and ends with its result as status (99 for an exception); an alarm ends it if it hangs.
/// Killed and collected with the object.
class Child {
 public:
  template <class Body>
  explicit Child(Body body) {
    if (::pipe(pipe_) != 0) std::abort();
    pid_ = ::fork();
    if (pid_ < 0) std::abort();
    if (pid_ > 0) {
      ::close(std::exchange(pipe_[1], -1));
      return;
    }
    ::close(pipe_[0]);
    ::alarm(30);
    int status = 99;
    try {
      status = body(*this);
    } catch (const std::exception& e) {
      std::fprintf(stderr, "child: %s\n", e.what());
    }
    ::_exit(status);
  }
  ~Child() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      wait();
    }
    ::close(pipe_[0]);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  /// In the child: lets the parent's await() return.
  void say_ready() {
    if (::write(pipe_[1], "r", 1) != 1) ::_exit(98);
  }
  /// In the parent: false if the child ended instead.
  bool await() {
    char c = 0;
    return ::read(pipe_[0], &c, 1) == 1;
  }
  void kill() { ::kill(pid_, SIGKILL); }
  /// Exit status, or minus the signal's number.
  int wait() {
    int status = 0;
    if (::waitpid(std::exchange(pid_, -1), &status, 0) < 0) std::abort();
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

 private:
  int pipe_[2] = {-1, -1};
  ::pid_t pid_ = -1;
};

}  // namespace sutura::testing
