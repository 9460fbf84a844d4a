#include "calibration/hidden_states.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <cassert>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace lrc {
namespace {

/// All of it, or the number of the error. `transfer` reads or writes a part.
template <typename Transfer>
int whole(std::size_t bytes, const Transfer& transfer) {
  for (std::size_t done = 0; done < bytes;) {
    const ssize_t now = transfer(done, bytes - done);
    if (now < 0 && errno == EINTR) continue;
    if (now < 0) return errno;
    if (now == 0) return EIO;  // shorter than what was written to it
    done += std::size_t(now);
  }
  return 0;
}

}  // namespace

HiddenStates::HiddenStates(Backend& backend, std::filesystem::path spill_folder) : backend_(&backend), folder_(std::move(spill_folder)) {}

HiddenStates::HiddenStates(HiddenStates&& other) noexcept
    : backend_(other.backend_),
      folder_(std::move(other.folder_)),
      buffers_(std::move(other.buffers_)),
      file_(std::exchange(other.file_, -1)),
      count_(std::exchange(other.count_, 0)),
      window_bytes_(other.window_bytes_) {}

HiddenStates::~HiddenStates() {
  if (file_ >= 0) ::close(file_);
}

void HiddenStates::fail(const char* what, int error_number) const {
  const bool full = error_number == ENOSPC || error_number == EDQUOT || error_number == EFBIG;
  throw Error(ErrorKind::io, "The hidden states of the calibration text do not fit the memory and cannot be " + std::string(what) +
                                 " a file in " + folder_.string() + ": " + (full ? "the disk is full" : std::strerror(error_number)) +
                                 " at window " + std::to_string(count_ + 1) + " of " + std::to_string(window_bytes_) +
                                 " bytes each; make room there, allow more memory or take fewer calibration tokens.");
}

void HiddenStates::open_file() {
#ifdef O_TMPFILE
  file_ = ::open(folder_.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (file_ >= 0) return;
#endif
  // Not every file system has files without a name: one that loses it at once does as well.
  std::string name = (folder_ / "hidden-states-XXXXXX").string();
  file_ = ::mkostemp(name.data(), O_CLOEXEC);
  if (file_ < 0) fail("written to", errno);
  ::unlink(name.c_str());
}

void HiddenStates::add(const Buffer& hidden) {
  if (!spilled()) {
    buffers_.push_back(hidden);
  } else {
    window_bytes_ = count_ == 0 ? hidden->bytes() : window_bytes_;
    assert(hidden->bytes() == window_bytes_);
    if (file_ < 0) open_file();
    // Room is taken before it is needed: a full disk shows at the start of a run and not in its middle.
    if (const int code = ::posix_fallocate(file_, off_t(count_ * window_bytes_), off_t(window_bytes_)); code != 0) fail("written to", code);
    write(count_, hidden);
  }
  ++count_;
}

void HiddenStates::write(std::size_t w, const Buffer& hidden) {
  std::vector<std::byte> bytes(window_bytes_);
  backend_->download(hidden, 0, bytes);
  const int code = whole(window_bytes_, [&](std::size_t done, std::size_t left) {
    return ::pwrite(file_, bytes.data() + done, left, off_t(w * window_bytes_ + done));
  });
  if (code != 0) fail("written to", code);
}

Buffer HiddenStates::get(std::size_t w) const {
  assert(w < count_);
  if (!spilled()) return buffers_[w];
  std::vector<std::byte> bytes(window_bytes_);
  const int code = whole(window_bytes_, [&](std::size_t done, std::size_t left) {
    return ::pread(file_, bytes.data() + done, left, off_t(w * window_bytes_ + done));
  });
  if (code != 0) fail("read back from", code);
  Buffer buffer = backend_->allocate(window_bytes_);
  backend_->upload(buffer, 0, bytes);
  return buffer;
}

Buffer HiddenStates::copy(std::size_t w) const {
  if (spilled()) return get(w);
  Buffer result = backend_->allocate(buffers_[w]->bytes());
  backend_->copy(buffers_[w], 0, result, 0, buffers_[w]->bytes());
  return result;
}

void HiddenStates::put(std::size_t w, const Buffer& hidden) {
  assert(w < count_);
  if (spilled())
    write(w, hidden);
  else
    buffers_[w] = hidden;
}

}  // namespace lrc
