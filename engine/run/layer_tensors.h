#pragma once
// Codes, scales and factors of a layer file (layout: run/layer_file.h).
#include <filesystem>
#include <string>
#include <vector>

#include "formats/safetensors.h"
#include "run/layer_file.h"

namespace lrc {

/// How every message about a damaged layer file ends.
extern const char* const layer_advice;
[[noreturn]] void damaged(const std::filesystem::path& file, const std::string& what);

/// A list as a tensor (1, values). Nothing is written for an empty one.
void write_row(SafetensorsWriter& out, const char* name, const std::vector<double>& values);
void write_weight(SafetensorsWriter& out, const QuantizedWeight& weight);
void write_pair(SafetensorsWriter& out, const LowRankPair& pair);
/// Fills codes, scales and zeros of a weight whose scheme and shape are known. Throws Error(bad_file) naming file and tensor.
void read_weight(const SafetensorsFile& file, QuantizedWeight& weight);
LowRankPair read_pair(const SafetensorsFile& file, const LayerFacts& facts);

}  // namespace lrc
