#include "base/files.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

#include "base/error.h"

namespace lrc {

std::string read_file(const std::filesystem::path& file) {
  std::error_code code;
  if (!std::filesystem::exists(file, code)) throw Error(ErrorKind::not_found, file.string() + " does not exist.");
  if (std::filesystem::is_directory(file, code)) throw Error(ErrorKind::bad_input, file.string() + " is a folder, not a file.");
  std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  if (in) text << in.rdbuf();
  if (!in || in.bad()) {
    if (std::filesystem::file_size(file, code) == 0 && !code) return {};
    throw Error(ErrorKind::io, file.string() + " cannot be read: " + std::strerror(errno) + ".");
  }
  return std::move(text).str();
}

AtomicFile::AtomicFile(std::filesystem::path file) : file_(std::move(file)) {
  temporary_ = file_;
  temporary_ += ".partial." + std::to_string(::getpid());
  descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (descriptor_ < 0) fail("cannot be written", errno);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(temporary_.c_str());
}

void AtomicFile::fail(const char* what, int error_number) {
  std::string sentence = file_.string() + " " + what + ": " + std::strerror(error_number);
  if (error_number == ENOSPC) sentence += "; free some space and run it again, what was finished is kept";
  throw Error(ErrorKind::io, sentence + ".");
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const auto count = ::write(descriptor_, bytes.data(), bytes.size());
    if (count < 0) {
      if (errno == EINTR) continue;
      fail("cannot be written", errno);
    }
    written_ += std::size_t(count);
    bytes = bytes.subspan(std::size_t(count));
  }
}

void AtomicFile::write(std::string_view text) { write(std::as_bytes(std::span(text.data(), text.size()))); }

void AtomicFile::commit() {
  if (::fsync(descriptor_) != 0 && errno != EINVAL) fail("cannot be written to the disk", errno);
  const int descriptor = descriptor_;
  descriptor_ = -1;
  if (::close(descriptor) != 0) {
    const int error_number = errno;
    ::unlink(temporary_.c_str());
    fail("cannot be written to the disk", error_number);
  }
  if (::rename(temporary_.c_str(), file_.c_str()) != 0) {
    const int error_number = errno;
    ::unlink(temporary_.c_str());
    fail("cannot be given its name", error_number);
  }
}

void write_file_atomically(const std::filesystem::path& file, std::string_view text) {
  AtomicFile out(file);
  out.write(text);
  out.commit();
}

std::filesystem::path cache_folder() {
  const char* base = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  std::filesystem::path folder;
  if (base && *base)
    folder = base;
  else if (home && *home)
    folder = std::filesystem::path(home) / ".cache";
  else
    folder = std::filesystem::temp_directory_path();
  folder /= "lrc-workbench";
  std::error_code code;
  std::filesystem::create_directories(folder, code);
  if (code) throw Error(ErrorKind::io, "The cache folder " + folder.string() + " cannot be made: " + code.message() + ".");
  return folder;
}

}  // namespace lrc
