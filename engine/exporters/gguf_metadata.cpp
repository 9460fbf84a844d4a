#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "exporters/gguf_parts.h"
#include "model/load_tokenizer.h"

namespace lrc::gguf_export {
namespace {

/// Keys that speak of the original's own types, parts and making.
bool describes_the_original(const std::string& key) {
  for (const char* prefix : {"general.file_type", "general.quantization_version", "general.alignment", "general.type",
                             "general.description", "quantize.", "split."})
    if (key.starts_with(prefix)) return true;
  return false;
}

void add_sizes(GgufWriter& writer, const ModelConfig& config, const std::string& architecture) {
  const auto set = [&](const char* key, std::size_t value) { writer.set_u32(architecture + "." + key, std::uint32_t(value)); };
  set("context_length", config.context);
  set("embedding_length", config.hidden_size);
  set("block_count", config.blocks);
  set("feed_forward_length", config.feed_forward);
  set("vocab_size", config.vocabulary);
  set("attention.head_count", config.heads);
  set("attention.head_count_kv", config.kv_heads);
  set("attention.key_length", config.head_dim);
  set("attention.value_length", config.head_dim);
  set("rope.dimension_count", config.head_dim);
  writer.set_f32(architecture + ".attention.layer_norm_rms_epsilon", config.norm_epsilon);
  writer.set_f32(architecture + ".rope.freq_base", float(config.rope_theta));
  if (architecture == "phi3") {
    // Its loader asks for both; there is no scaling here, or the export would have been refused.
    set("attention.sliding_window", config.sliding_window);
    set("rope.scaling.original_context_length", config.context);
  }
  if (config.rope_scaling.is_object() && config.rope_scaling.value("rope_type", std::string()) == "linear") {
    writer.set(architecture + ".rope.scaling.type", "linear");
    writer.set_f32(architecture + ".rope.scaling.factor", config.rope_scaling.value("factor", 1.0f));
  }
}

void add_tokenizer(GgufWriter& writer, const Model& model) {
  const auto spec = tokenizer_spec(model.checkpoint().tokenizer_source(), model.config(), model.checkpoint().path().string());
  const std::string prefix = "tokenizer.ggml.";
  const bool sentencepiece = spec.kind == TokenizerSpec::Kind::sentencepiece_bpe;
  auto tokens = spec.tokens;
  std::vector<std::int64_t> types(spec.types.begin(), spec.types.end());
  std::vector<double> scores(spec.scores.begin(), spec.scores.end());
  // One entry for each row of the embedding; rows that no token claims get a name and are never produced.
  tokens.resize(model.config().vocabulary);
  types.resize(tokens.size(), token_type::unused);
  for (std::size_t id = 0; id < tokens.size(); ++id)
    if (tokens[id].empty()) tokens[id] = "[PAD" + std::to_string(id) + "]";
  writer.set(prefix + "model", sentencepiece ? "llama" : "gpt2");
  writer.set(prefix + "pre", sentencepiece ? "default" : spec.pre);
  writer.set_strings(prefix + "tokens", std::move(tokens));
  writer.set_i32s(prefix + "token_type", std::move(types));
  if (sentencepiece) {
    scores.resize(model.config().vocabulary, -1e6);
    writer.set_f32s(prefix + "scores", std::move(scores));
    writer.set_bool(prefix + "add_space_prefix", spec.add_space_prefix);
  } else {
    writer.set_strings(prefix + "merges", spec.merges);
  }
  const auto set_id = [&](const char* key, std::optional<TokenId> id) {
    if (id) writer.set_u32(prefix + key, std::uint32_t(*id));
  };
  set_id("bos_token_id", spec.bos);
  set_id("eos_token_id", spec.eos);
  set_id("unknown_token_id", spec.unknown);
  const auto turn_end = std::find_if(spec.stop.begin(), spec.stop.end(), [&](TokenId id) { return !spec.eos || id != *spec.eos; });
  if (turn_end != spec.stop.end()) set_id("eot_token_id", *turn_end);
  writer.set_bool(prefix + "add_bos_token", spec.add_bos);
  writer.set_bool(prefix + "add_eos_token", spec.add_eos);
  if (const auto text = model.chat_template(); !text.empty()) writer.set("tokenizer.chat_template", text);
}

}  // namespace

void add_metadata(GgufWriter& writer, const ExportSource& source, const ExportOptions& options) {
  const auto& checkpoint = source.model.checkpoint();
  const std::string architecture(gguf_architecture(source.model).value());
  writer.set("general.architecture", architecture);
  writer.set("general.type", "model");
  if (checkpoint.is_gguf()) {
    const auto original = GgufFile::open(checkpoint.path());
    for (const auto& [key, value] : original.metadata())
      if (!describes_the_original(key)) writer.copy(key, value);
  } else {
    add_sizes(writer, source.model.config(), architecture);
    if (tokenizer_refusal(source.model).empty()) add_tokenizer(writer, source.model);
  }
  writer.set("general.name", source.model.display_name() + " · " + source.run_name);
  writer.set("general.description",
             "Base of a low-rank corrected model. Load it with the adapter that was exported with it: without it this file is worse than "
             "plain quantization.");
  writer.set_u32("general.file_type", base_type(options) == DType::q4_1 ? 3 : 2);
  writer.set_u32("general.quantization_version", 2);
}

std::vector<float> rope_factors(const ExportSource& source) {
  const auto& config = source.model.config();
  if (!config.rope_factors.empty()) return config.rope_factors;
  if (!config.rope_scaling.is_object() || config.rope_scaling.value("rope_type", std::string()) != "llama3") return {};
  // Files of this kind carry what each frequency is divided by.
  const auto scaled = make_rope(config).inverse_frequencies;
  std::vector<float> factors(scaled.size());
  for (std::size_t i = 0; i < factors.size(); ++i)
    factors[i] = float(std::pow(config.rope_theta, -2.0 * double(i) / double(config.head_dim)) / double(scaled[i]));
  return factors;
}

std::string tokenizer_refusal(const Model& model) {
  const auto& source = model.checkpoint().tokenizer_source();
  if (!source.gguf) return model.tokenizer_problem().value_or("");
  if (source.gguf->model == "gpt2" && (source.gguf->pre.empty() || source.gguf->pre == "default"))
    return "The original does not name its pre-tokenizer (tokenizer.ggml.pre), and llama.cpp would split text by a rule that this "
           "vocabulary was not made for.";
  return "";
}

}  // namespace lrc::gguf_export
