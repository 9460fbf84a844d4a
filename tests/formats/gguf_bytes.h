#pragma once
// GGUF files put together byte by byte, so that tests can break any single rule.
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"

namespace lrc::test {

class GgufBytes {
 public:
  template <typename T>
  GgufBytes& put(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  GgufBytes& text(std::string_view value) {
    put(std::uint64_t(value.size()));
    bytes_ += value;
    return *this;
  }
  GgufBytes& raw(std::string_view value) {
    bytes_ += value;
    return *this;
  }
  GgufBytes& header(std::uint64_t tensors, std::uint64_t values, std::uint32_t version = 3) {
    return raw("GGUF").put(version).put(tensors).put(values);
  }
  GgufBytes& string_value(std::string_view key, std::string_view value) { return text(key).put(std::uint32_t(8)).text(value); }
  GgufBytes& u32_value(std::string_view key, std::uint32_t value) { return text(key).put(std::uint32_t(4)).put(value); }
  GgufBytes& tensor(std::string_view name, const std::vector<std::uint64_t>& ne, std::uint32_t type, std::uint64_t offset) {
    text(name).put(std::uint32_t(ne.size()));
    for (const auto size : ne) put(size);
    return put(type).put(offset);
  }
  GgufBytes& pad(std::size_t alignment = 32) {
    bytes_.append((alignment - bytes_.size() % alignment) % alignment, '\0');
    return *this;
  }
  GgufBytes& data(std::size_t bytes, char value = 0) {
    bytes_.append(bytes, value);
    return *this;
  }
  const std::string& bytes() const { return bytes_; }
  void write(const std::filesystem::path& file) const { write_file_atomically(file, bytes_); }

 private:
  std::string bytes_;
};

}  // namespace lrc::test
