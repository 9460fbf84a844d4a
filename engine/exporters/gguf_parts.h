#pragma once
// The pieces of the GGUF exporter: what goes where, the two writers, and the proof by reading back.
#include <cstddef>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "exporters/exporter.h"
#include "formats/gguf.h"

namespace lrc::gguf_export {

/// How one linear layer stands in the files.
struct LayerPlan {
  const LayerInfo* info = nullptr;
  const LayerScheme* scheme = nullptr;
  std::string tensor;           ///< "blk.3.attn_q.weight"
  std::string bias_tensor;      ///< "blk.3.attn_q.bias"; empty when the layer has none
  bool quantized = false;       ///< the run has codes for it
  DType type = DType::f16;      ///< of the base tensor
  std::size_t rank = 0;         ///< of the pair, 0 = none
  std::size_t stored_rank = 0;  ///< with padding
  std::size_t head_dim = 0;     ///< rows of a head where rows are permuted, 0 where they are not
  /// Codes and scales are kept exactly; otherwise the dequantized values are rounded to float16.
  bool exact() const { return type != DType::f16; }
};
/// What GGUF files call the family, "llama" also for mistral; nothing for families that this exporter cannot write.
std::optional<std::string_view> gguf_architecture(const Model& model);
/// The families that have one, for sentences: "llama, mistral, …".
std::string exportable_families();

std::vector<LayerPlan> plan_layers(const ExportSource& source, const ExportOptions& options);

/// Throws Error(bad_input) naming the allowed ones.
DType base_type(const ExportOptions& options);
/// Whether the base gets an output matrix of its own.
bool has_head(const ExportSource& source);

/// Called for each tensor that is written or compared; may throw to stop.
using OnTensor = std::function<void(const std::string& tensor)>;

/// Without weights in `source` the writers still know their sizes (file_bytes()) but cannot write.
GgufWriter base_file(const ExportSource& source, const ExportOptions& options, const OnTensor& on_tensor);
/// Has no tensors when no layer has a pair.
GgufWriter adapter_file(const ExportSource& source, const ExportOptions& options, const OnTensor& on_tensor);

/// Architecture, sizes and tokenizer: copied from a GGUF original, made from config and tokenizer files otherwise.
void add_metadata(GgufWriter& writer, const ExportSource& source, const ExportOptions& options);
/// Rotary factors that belong into the tensor rope_freqs.weight; empty if none.
std::vector<float> rope_factors(const ExportSource& source);
/// What keeps the tokenizer from being written, empty when nothing does.
std::string tokenizer_refusal(const Model& model);

/// Reads a written file back and compares everything in it with `source`; gives what was proven, a sentence each.
/// Throws Error(bad_file) naming the first tensor or key that differs.
std::vector<std::string> verify_base(const std::filesystem::path& file, const ExportSource& source, const ExportOptions& options,
                                     const OnTensor& on_tensor);
std::vector<std::string> verify_adapter(const std::filesystem::path& file, const ExportSource& source, const ExportOptions& options,
                                        const OnTensor& on_tensor);
/// Opens base and adapter ("" where there is none) again as a model and compares its logits after a short prompt with those of
/// the run at float activations, block by block. Throws Error(bad_file) when they differ by more than float32 rounding makes.
std::vector<std::string> verify_logits(const std::filesystem::path& base, const std::filesystem::path& adapter, const ExportSource& source,
                                       const ExportOptions& options, const OnTensor& on_tensor);

}  // namespace lrc::gguf_export
