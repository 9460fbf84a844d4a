#include "tensor/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#include "base/error.h"

namespace lrc {

std::shared_ptr<const MappedFile> MappedFile::open(const std::filesystem::path& file) {
  const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) {
    if (errno == ENOENT) throw Error(ErrorKind::not_found, file.string() + " does not exist.");
    throw Error(ErrorKind::io, file.string() + " cannot be read: " + std::strerror(errno) + ".");
  }
  struct stat info {};
  if (::fstat(descriptor, &info) != 0 || !S_ISREG(info.st_mode)) {
    ::close(descriptor);
    throw Error(ErrorKind::bad_input, file.string() + " is not a regular file.");
  }
  std::shared_ptr<MappedFile> mapped(new MappedFile);
  mapped->path_ = file;
  mapped->size_ = std::size_t(info.st_size);
  if (mapped->size_ != 0) {
    void* data = ::mmap(nullptr, mapped->size_, PROT_READ, MAP_PRIVATE, descriptor, 0);
    const int error_number = errno;
    ::close(descriptor);
    if (data == MAP_FAILED) {
      mapped->size_ = 0;
      throw Error(ErrorKind::io, file.string() + " cannot be mapped into memory: " + std::strerror(error_number) + ".");
    }
    mapped->data_ = static_cast<const std::byte*>(data);
  } else {
    ::close(descriptor);
  }
  return mapped;
}

void forget_pages(std::span<const std::byte> part) {
  static const std::uintptr_t page = std::uintptr_t(::sysconf(_SC_PAGESIZE));
  const auto first = reinterpret_cast<std::uintptr_t>(part.data());
  const std::uintptr_t begin = (first + page - 1) / page * page, end = (first + part.size()) / page * page;
  // A refusal changes nothing but the count.
  if (begin < end) (void)::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
}

}  // namespace lrc
