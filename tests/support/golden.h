#pragma once
// Reads the expected values that lie as safetensors in tests/data.
#include <string>
#include <vector>

#include "formats/safetensors.h"
#include "tokenizer/tokenizer.h"

namespace lrc::test {

/// Token ids (…, n), int64 in the file: one sequence a row.
std::vector<std::vector<TokenId>> golden_sequences(const SafetensorsFile& file, const std::string& name);
/// The matrix of the last two dimensions at the given leading indices; a vector becomes (1, n).
MatrixF golden_slice(const SafetensorsFile& file, const std::string& name, const std::vector<std::size_t>& leading = {});

}  // namespace lrc::test
