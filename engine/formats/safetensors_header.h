#pragma once
// The JSON header of a safetensors file, read without building a document: a hostile header costs no more memory than the
// tensors that it names, and anything the format does not have is refused where it stands.
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/dtype.h"

namespace lrc::safetensors {

struct HeaderEntry {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::uint64_t> shape;
  std::uint64_t begin = 0, end = 0;  ///< bytes relative to the buffer
};
struct Header {
  std::vector<HeaderEntry> entries;  ///< as they stand in the header
  std::map<std::string, std::string> metadata;
};

/// Throws Error(bad_file), or Error(unsupported) for an element type that exists but cannot be read here; both name `file`.
Header parse_header(std::string_view json, const std::string& file);

}  // namespace lrc::safetensors
