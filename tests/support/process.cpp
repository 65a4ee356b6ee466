#include "tests/support/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace sutura::testing {
namespace {

struct Pipe {
  int ends[2] = {-1, -1};
  Pipe() {
    if (::pipe2(ends, O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "pipe2");
  }
};

}  // namespace

Process::Process(const std::vector<std::string>& command, const std::filesystem::path& folder)
    : name_(std::filesystem::path(command.at(0)).filename().string()) {
  Pipe out, err;
  // Everything that allocates is done before the fork.
  std::vector<char*> arguments;
  for (const std::string& a : command) arguments.push_back(const_cast<char*>(a.c_str()));
  arguments.push_back(nullptr);
  const std::string where = folder.string();
  const ::pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int nothing = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (::getppid() != parent || ::chdir(where.c_str()) != 0 || ::dup2(nothing, STDIN_FILENO) < 0 ||
        ::dup2(out.ends[1], STDOUT_FILENO) < 0 || ::dup2(err.ends[1], STDERR_FILENO) < 0)
      ::_exit(126);
    ::execv(arguments[0], arguments.data());
    ::_exit(127);
  }
  ::close(out.ends[1]);
  ::close(err.ends[1]);
  collector_ = std::thread([this, o = out.ends[0], e = err.ends[0]] { collect(o, e); });
}

Process::~Process() {
  send_signal(SIGKILL);
  collector_.join();
}

void Process::collect(int out, int err) {
  ::pollfd fds[2] = {{out, POLLIN, 0}, {err, POLLIN, 0}};
  char buffer[4096];
  for (int open = 2; open > 0;) {
    if (::poll(fds, 2, -1) < 0 && errno != EINTR) break;
    for (int i = 0; i < 2; ++i) {
      if (fds[i].fd < 0 || fds[i].revents == 0) continue;
      const ::ssize_t n = ::read(fds[i].fd, buffer, sizeof buffer);
      if (n <= 0) {
        ::close(fds[i].fd);
        fds[i].fd = -1;
        --open;
        continue;
      }
      const std::scoped_lock lock(mutex_);
      (i == 0 ? out_ : err_).append(buffer, static_cast<std::size_t>(n));
      changed_.notify_all();
    }
  }
  // WNOWAIT first: until the status is stored, a signal must still find this process and not one with a reused number.
  ::siginfo_t info{};
  while (::waitid(P_PID, static_cast<::id_t>(pid_), &info, WEXITED | WNOWAIT) != 0 && errno == EINTR) {}
  const std::scoped_lock lock(mutex_);
  int status = 0;
  ::waitpid(pid_, &status, 0);
  status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  changed_.notify_all();
}

bool Process::says(std::string_view text, std::chrono::seconds patience) {
  std::unique_lock lock(mutex_);
  const auto said = [&] { return out_.find(text) != std::string::npos || err_.find(text) != std::string::npos; };
  changed_.wait_for(lock, patience, [&] { return status_.has_value() || said(); });
  return said();
}

std::optional<int> Process::wait(std::chrono::seconds patience) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, patience, [&] { return status_.has_value(); });
  return status_;
}

void Process::send_signal(int number) {
  const std::scoped_lock lock(mutex_);
  if (!status_) ::kill(pid_, number);
}

std::string Process::out() const {
  const std::scoped_lock lock(mutex_);
  return out_;
}

std::string Process::err() const {
  const std::scoped_lock lock(mutex_);
  return err_;
}

std::string Process::after(std::string_view mark) const {
  const std::string text = err();
  const std::size_t at = text.find(mark);
  if (at == std::string::npos) return {};
  const std::size_t begin = at + mark.size();
  return text.substr(begin, text.find('\n', begin) - begin);
}

}  // namespace sutura::testing
