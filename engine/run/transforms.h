#pragma once
// What was folded into one block before it was solved, as RUN/transforms/block-N.safetensors: for each scaled site a tensor
// SITE.scales F32 (1, width), SITE as in model/channel_scales.h. Metadata: format_version, block. Same bytes for the same run.
#include <filesystem>
#include <string>

#include "model/channel_scales.h"
#include "run/manifest.h"

namespace lrc {

/// Writes the file whole or not at all.
TransformRecord write_transform(const std::filesystem::path& run_folder, std::size_t block, const ChannelScales& scales);
/// Checked against the record's hash and the model. Throws Error(bad_file) naming the file.
ChannelScales read_transform(const std::filesystem::path& run_folder, const TransformRecord& record, const ModelConfig& config,
                             bool online_rotation);

}  // namespace lrc
