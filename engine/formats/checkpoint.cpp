#include "formats/checkpoint.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <fstream>

#include "base/error.h"
#include "base/files.h"
#include "base/hash.h"
#include "formats/checkpoint_kinds.h"
#include "formats/gguf_types.h"
#include "formats/messages.h"

namespace lrc {
namespace {

std::string describe(const TensorInfo& tensor) {
  return tensor.file_name + ": the tensor " + in_quotes(tensor.name) +
         (tensor.stored_name == tensor.name ? "" : " (" + tensor.stored_name + ")");
}

/// The hash of a file, remembered under its path, size and time of change. The memory is an aid only: where it cannot be
/// read or kept, the file is hashed again.
std::string cached_hash(const std::filesystem::path& file) {
  std::filesystem::path memory;
  try {
    const auto changed = std::filesystem::last_write_time(file).time_since_epoch().count();
    const auto key = std::filesystem::canonical(file).string() + "\n" + std::to_string(std::filesystem::file_size(file)) + "\n" +
                     std::to_string(changed);
    const auto folder = cache_folder() / "hashes";
    std::filesystem::create_directories(folder);
    memory = folder / sha256_of(key);
    if (std::filesystem::exists(memory)) {
      const auto text = read_file(memory);
      if (text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos) return text;
    }
  } catch (const std::filesystem::filesystem_error&) {
    memory.clear();
  } catch (const Error&) {
    memory.clear();
  }
  const auto hash = sha256_of_file(file);
  if (!memory.empty()) {
    try {
      write_file_atomically(memory, hash);
    } catch (const Error&) {
      return hash;
    }
  }
  return hash;
}

}  // namespace

std::size_t TensorInfo::elements() const { return rows() * columns(); }

std::size_t TensorInfo::rows() const {
  std::size_t product = 1;
  for (std::size_t i = 0; i + 1 < shape.size(); ++i) product *= shape[i];
  return product;
}

std::size_t TensorInfo::columns() const { return shape.empty() ? 1 : shape.back(); }

void check_rows(const TensorInfo& tensor, std::size_t first, std::size_t count) {
  if (!is_float_like(tensor.dtype))
    throw Error(ErrorKind::bad_file, describe(tensor) + " holds " + std::string(name(tensor.dtype)) + ", not floating-point numbers.");
  if (first > tensor.rows() || count > tensor.rows() - first)
    throw Error(ErrorKind::bad_file, describe(tensor) + " has " + std::to_string(tensor.rows()) + " rows, and rows " +
                                         std::to_string(first) + " to " + std::to_string(first + count) + " were asked for.");
}

void check_finite(const TensorInfo& tensor, std::span<const float> values) {
  std::uint32_t highest = 0;
  for (const float value : values) highest = std::max(highest, std::bit_cast<std::uint32_t>(value) & 0x7fffffffu);
  if (highest < 0x7f800000u) return;
  throw Error(
      ErrorKind::bad_file,
      describe(tensor) + " holds values that are no finite numbers (NaN or infinity); the file is damaged or the model was saved broken.");
}

const TensorInfo* Checkpoint::find(std::string_view name) const {
  const auto found = std::find_if(tensors_.begin(), tensors_.end(), [&](const TensorInfo& tensor) { return tensor.name == name; });
  return found == tensors_.end() ? nullptr : &*found;
}

const TensorInfo& Checkpoint::get(std::string_view name) const {
  if (const auto* tensor = find(name)) return *tensor;
  throw Error(ErrorKind::bad_file, path_.string() + " has no tensor " + in_quotes(name) + ".");
}

MatrixF Checkpoint::read_matrix(std::string_view name) const {
  const auto& tensor = get(name);
  check_rows(tensor, 0, tensor.rows());
  MatrixF matrix(tensor.rows(), tensor.columns());
  read_rows(tensor, 0, tensor.rows(), matrix.data());
  return matrix;
}

std::vector<float> Checkpoint::read_vector(std::string_view name) const {
  const auto& tensor = get(name);
  check_rows(tensor, 0, tensor.rows());
  std::vector<float> values(tensor.elements());
  read_rows(tensor, 0, tensor.rows(), values.data());
  return values;
}

std::string Checkpoint::sha256() const {
  if (gguf_) return cached_hash(path_);
  std::vector<std::string> lines;
  for (const auto& file : hashed_files_) lines.push_back(file.filename().string() + " " + cached_hash(file) + "\n");
  std::sort(lines.begin(), lines.end());
  Sha256 hash;
  for (const auto& line : lines) hash.update(line);
  return hash.hex();
}

std::shared_ptr<const Checkpoint> open_checkpoint(const std::filesystem::path& path) {
  std::error_code code;
  const auto status = std::filesystem::status(path, code);
  if (!std::filesystem::exists(status))
    throw Error(ErrorKind::not_found,
                path.string() + " does not exist; give a .gguf file or a model folder with config.json and *.safetensors.");
  if (std::filesystem::is_directory(status)) return open_huggingface_checkpoint(path);
  if (!std::filesystem::is_regular_file(status))
    throw Error(ErrorKind::bad_input, path.string() + " is neither a file nor a folder that can be read.");
  std::string start(gguf::magic.size(), '\0');
  std::ifstream in(path, std::ios::binary);
  in.read(start.data(), std::streamsize(start.size()));
  // A file that is called .gguf gets the reader's own sentence about what is wrong with it.
  if (start == gguf::magic || path.extension() == ".gguf") return open_gguf_checkpoint(path);
  const auto sibling = path.parent_path() / "config.json";
  if (path.extension() == ".safetensors" && std::filesystem::exists(sibling, code))
    throw Error(ErrorKind::bad_input,
                path.string() + " is a part of a model; open its folder, " + path.parent_path().string() + ", instead.");
  throw Error(ErrorKind::bad_input,
              path.string() + " is not a GGUF file; give a .gguf file or a model folder with config.json and *.safetensors.");
}

}  // namespace lrc
