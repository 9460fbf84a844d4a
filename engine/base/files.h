#pragma once
#include <cstddef>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace lrc {

/// The whole file as bytes. Throws Error(io or not_found) naming the file.
std::string read_file(const std::filesystem::path& file);

/// A file that appears under its name whole or not at all: written to a temporary name in the same folder, flushed to the
/// disk, renamed by commit(). Without commit() the temporary file is removed. Errors name the file and, when the disk is
/// full, say so.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path file);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);
  std::size_t written() const { return written_; }
  void commit();

 private:
  [[noreturn]] void fail(const char* what, int error_number);
  std::filesystem::path file_, temporary_;
  int descriptor_ = -1;
  std::size_t written_ = 0;
};

void write_file_atomically(const std::filesystem::path& file, std::string_view text);

/// ${XDG_CACHE_HOME:-~/.cache}/lrc-workbench, made if missing.
std::filesystem::path cache_folder();

}  // namespace lrc
