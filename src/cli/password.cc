#include "cli/password.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

#include "cli/placeholder.h"

namespace sluice::cli {
namespace {

constexpr std::size_t kMaxLine = 64 * 1024;

constexpr std::array kSignals{SIGINT, SIGTERM, SIGHUP, SIGQUIT};

volatile std::sig_atomic_t signalled = 0;

void note_signal(int signal) { signalled = signal; }

// Bytes up to the line feed, one at a time: what follows is another reader's.
std::string read_line(int fd) {
  std::string line;
  char c = 0;
  while (line.size() < kMaxLine) {
    const ssize_t length = ::read(fd, &c, 1);
    if (length < 0 && errno == EINTR) continue;
    if (length <= 0 || c == '\n') break;
    line += c;
  }
  if (line.ends_with('\r')) line.pop_back();
  return line;
}

void tell(int fd, std::string_view text) { (void)!::write(fd, text.data(), text.size()); }

// Holds kSignals back.
class SignalMask {
 public:
  SignalMask() {
    sigset_t signals;
    sigemptyset(&signals);
    for (const int each : kSignals) sigaddset(&signals, each);
    ::pthread_sigmask(SIG_BLOCK, &signals, &before_);
  }
  ~SignalMask() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalMask(const SignalMask&) = delete;
  SignalMask& operator=(const SignalMask&) = delete;

 private:
  sigset_t before_{};
};

// The terminal of the process, whatever its standard streams are. A signal that would end it with
// the echo off ends it when the echo is on again.
class Terminal {
 public:
  Terminal() : fd_(::open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY)) {}
  ~Terminal() {
    if (fd_ >= 0) ::close(fd_);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;
  int fd() const { return fd_; }

  std::string read_silently(std::string_view prompt) const {
    termios before{};
    if (::tcgetattr(fd_, &before) != 0) return {};
    termios silent = before;
    silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    silent.c_lflag |= ECHONL;
    struct sigaction noted = {};
    noted.sa_handler = note_signal;
    std::array<struct sigaction, kSignals.size()> kept = {};
    const SignalMask mask;
    for (std::size_t i = 0; i < kSignals.size(); ++i) ::sigaction(kSignals[i], &noted, &kept[i]);
    ::tcsetattr(fd_, TCSAFLUSH, &silent);
    tell(fd_, prompt);
    std::string line = wait_for_line() ? read_line(fd_) : std::string();
    ::tcsetattr(fd_, TCSAFLUSH, &before);
    for (std::size_t i = 0; i < kSignals.size(); ++i) {
      ::sigaction(kSignals[i], &kept[i], nullptr);
    }
    if (signalled != 0) ::raise(signalled);
    return line;
  }

 private:
  // Signals come while it waits, and at no other moment: none is missed. False: one came.
  bool wait_for_line() const {
    sigset_t none;
    sigemptyset(&none);
    pollfd polled{fd_, POLLIN, 0};
    while (signalled == 0) {
      if (::ppoll(&polled, 1, nullptr, &none) >= 0 || errno != EINTR) return true;
    }
    return false;
  }

  const int fd_;
};

}  // namespace

Result<std::string> read_password(const std::string& file, std::string_view prompt) {
  std::string secret;
  if (!file.empty()) {
    auto text = read_small_file(file, kMaxSecretBytes, Readers::kOwnerOnly);
    if (!text) return text;
    secret = std::move(*text);
    if (secret.ends_with('\n')) secret.pop_back();
    if (secret.ends_with('\r')) secret.pop_back();
  } else if (isatty(STDIN_FILENO) == 1) {
    Terminal terminal;
    if (terminal.fd() < 0) {
      return fail(Domain::kCommandLine, "password", "there is no terminal to ask for the password",
                  "Give it in a file, or on standard input.");
    }
    secret = terminal.read_silently(fmt::format("{}: ", prompt));
  } else {
    secret = read_line(STDIN_FILENO);
  }
  if (!secret.empty()) return secret;
  return fail(Domain::kCommandLine, "password", fmt::format("{}: nothing was given", prompt),
              "Type it, give it in a file for you alone, or on standard input.");
}

bool confirmed(std::string_view question) {
  if (isatty(STDIN_FILENO) == 0) return false;
  Terminal terminal;
  if (terminal.fd() < 0) return false;
  tell(terminal.fd(), fmt::format("{} [y/N] ", question));
  const std::string answer = read_line(terminal.fd());
  return answer == "y" || answer == "Y" || answer == "yes";
}

}  // namespace sluice::cli
