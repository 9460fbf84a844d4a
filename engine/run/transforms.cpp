#include "run/transforms.h"

#include "base/error.h"
#include "base/hash.h"
#include "formats/safetensors.h"

namespace lrc {
namespace {

constexpr const char* format_version = "1";
constexpr const char* suffix = ".scales";

[[noreturn]] void damaged(const std::filesystem::path& file, const std::string& what) {
  throw Error(ErrorKind::bad_file, file.string() + ": " + what + "; delete it and run lrc quantize again, the block is then solved anew.");
}

}  // namespace

TransformRecord write_transform(const std::filesystem::path& run_folder, std::size_t block, const ChannelScales& scales) {
  TransformRecord record;
  record.block = block;
  record.file = "transforms/block-" + std::to_string(block) + ".safetensors";
  const auto path = run_folder / record.file;
  std::error_code code;
  std::filesystem::create_directories(path.parent_path(), code);
  if (code) throw Error(ErrorKind::io, "The folder " + path.parent_path().string() + " cannot be made: " + code.message() + ".");
  SafetensorsWriter out;
  for (std::size_t index = 0; index < scales.by_site.size(); ++index) {
    const auto& values = scales.by_site[index];
    if (values.empty()) continue;
    MatrixF row(1, values.size());
    std::copy(values.begin(), values.end(), row.data());
    out.add(site_key(site_at(block, index)) + suffix, row);
  }
  out.set_metadata("format_version", format_version);
  out.set_metadata("block", std::to_string(block));
  out.write(path);
  record.sha256 = sha256_of_file(path);
  return record;
}

ChannelScales read_transform(const std::filesystem::path& run_folder, const TransformRecord& record, const ModelConfig& config,
                             bool online_rotation) {
  const auto path = run_folder / record.file;
  const auto file = SafetensorsFile::open(path);
  if (sha256_of_file(path) != record.sha256) damaged(path, "it is not the file that the manifest names (its SHA-256 differs)");
  const auto& metadata = file.metadata();
  const auto version = metadata.find("format_version");
  if (version == metadata.end() || version->second != format_version)
    throw Error(ErrorKind::unsupported,
                path.string() + " has another format version than " + format_version + ", which this program reads.");
  if (const auto block = metadata.find("block"); block == metadata.end() || block->second != std::to_string(record.block))
    damaged(path, "it does not belong to block " + std::to_string(record.block));
  ChannelScales scales;
  scales.by_site.resize(site_count(config));
  std::size_t known = 0;
  for (std::size_t index = 0; index < scales.by_site.size(); ++index) {
    const std::string name = site_key(site_at(record.block, index)) + suffix;
    if (!file.find(name)) continue;
    const MatrixF values = file.read_float(name);
    scales.by_site[index].assign(values.flat().begin(), values.flat().end());
    ++known;
  }
  if (known != file.entries().size()) damaged(path, "it holds a tensor that names no input of a block");
  try {
    check_scales(scales, config, online_rotation, path.string());
  } catch (const Error& error) {
    throw Error(ErrorKind::bad_file, error.what());
  }
  return scales;
}

}  // namespace lrc
