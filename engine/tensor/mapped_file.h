#pragma once
#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>

namespace lrc {

/// A file mapped read-only. The mapping lives as long as the last shared_ptr to it.
class MappedFile {
 public:
  /// Throws Error(not_found / io / bad_input) naming the file.
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& file);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::span<const std::byte> bytes() const { return {data_, size_}; }

 private:
  MappedFile() = default;
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

/// Tells the system that a part of a mapping has been read: its whole pages no longer count as memory of this process. Read again
/// they come back from the file. Safe while others read the same part.
void forget_pages(std::span<const std::byte> part);

}  // namespace lrc
