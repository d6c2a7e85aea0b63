// Async<T>: a lazy coroutine that runs on the thread that resumes it. A lane's transaction is
// written as one straight routine of these, while the lane's loop goes on serving Kafka whenever
// the routine waits for PostgreSQL's socket.
//
// Starts when awaited, or when start() is called on the outermost one. The owner of an Async may
// destroy it while it is suspended: everything on its frame is then released in the usual order.
// Not thread-safe: one Async lives on one thread. Exceptions do not cross it (std::terminate).
#pragma once

#include <coroutine>
#include <exception>
#include <optional>
#include <utility>

#include "base/result.h"

namespace sluice {

template <class T>
class [[nodiscard]] Async {
 public:
  struct promise_type {
    std::optional<T> value;
    std::coroutine_handle<> continuation = std::noop_coroutine();

    Async get_return_object() {
      return Async(std::coroutine_handle<promise_type>::from_promise(*this));
    }
    std::suspend_always initial_suspend() noexcept { return {}; }
    struct FinalAwaiter {
      bool await_ready() noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> self) noexcept {
        return self.promise().continuation;
      }
      void await_resume() noexcept {}
    };
    FinalAwaiter final_suspend() noexcept { return {}; }
    template <class U>
    void return_value(U&& result) {
      value.emplace(std::forward<U>(result));
    }
    void unhandled_exception() noexcept { std::terminate(); }
  };

  Async() = default;
  Async(Async&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Async& operator=(Async&& other) noexcept {
    if (this != &other) {
      reset();
      handle_ = std::exchange(other.handle_, nullptr);
    }
    return *this;
  }
  Async(const Async&) = delete;
  Async& operator=(const Async&) = delete;
  ~Async() { reset(); }

  // For the outermost coroutine: runs it to its first suspension.
  void start() {
    SLUICE_CHECK(handle_ && !handle_.done());
    handle_.resume();
  }
  bool valid() const { return static_cast<bool>(handle_); }
  bool done() const { return handle_ && handle_.done(); }
  // The result of a coroutine that is done; may be taken once.
  T take() {
    SLUICE_CHECK(done() && handle_.promise().value.has_value());
    T result = std::move(*handle_.promise().value);
    reset();
    return result;
  }
  void reset() {
    if (handle_) std::exchange(handle_, nullptr).destroy();
  }

  bool await_ready() const noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> caller) noexcept {
    handle_.promise().continuation = caller;
    return handle_;
  }
  T await_resume() {
    SLUICE_CHECK(handle_.promise().value.has_value());
    return std::move(*handle_.promise().value);
  }

 private:
  explicit Async(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
  std::coroutine_handle<promise_type> handle_;
};

}  // namespace sluice
