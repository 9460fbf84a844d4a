#pragma once
// The commands, as functions of plain option structs. Flags and their words stand in main.cpp alone.
#include <optional>
#include <string>
#include <vector>

#include "cli/context.h"

namespace lrc::cli {

struct InspectOptions {
  std::string model;
  bool summary = false;
};
void inspect(const Context& context, const InspectOptions& options);
struct DevicesOptions {
  bool self_test = false;
};
void devices(const Context& context, const DevicesOptions& options);

struct TextOptions {
  std::string model, text, file, ids, messages;
  bool special = false, generation_prompt = false;
};
void tokenize(const Context& context, const TextOptions& options);
void detokenize(const Context& context, const TextOptions& options);
void render_template_command(const Context& context, const TextOptions& options);

struct LogitsOptions {
  std::string model, ids, out;
  bool all = false;
};
void logits(const Context& context, const LogitsOptions& options);

struct PerplexityOptions {
  std::string model, text, reference;
  std::size_t window_context = 2048, windows = 0;
};
void perplexity(const Context& context, const PerplexityOptions& options);

struct TaskOptions {
  std::string model, tasks, out, state, reference, bos = "auto";
  std::vector<std::string> data;
  std::size_t limit = 0;
};
void evaluate_command(const Context& context, const TaskOptions& options);

/// The quantize options: each overrides the recipe's field when given.
struct RecipeOptions {
  std::string recipe;
  std::optional<std::string> method, rank, rank_rule, rotate, deflate, factors, calibration, stream, layers, base, clip, weight_clip,
      weight_format, activation_format, act_order, polish, pair_input, damping_toward, range_finder, smoothing, learn_scales,
      calibration_mix;
  std::optional<int> weight_bits, activation_bits, kv_bits, iterations, refine, steps, square, high_bits;
  std::optional<std::size_t> group_size, activation_group_size, kv_group_size, calibration_tokens, calibration_context,
      skip_first_positions;
  std::optional<double> damping, gptq_damping, drift, kv_clip, smoothing_strength, high_precision;
  std::vector<std::string> set;
  bool retarget_only = false, weight_asymmetric = false, activation_asymmetric = false, kv_symmetric = false;
};
struct QuantizeOptions {
  std::string model, out;
  std::string memory_limit;  ///< a size such as 6GiB; empty: what is free
  RecipeOptions recipe;
};
void quantize(const Context& context, const QuantizeOptions& options);
void measure_command(const Context& context, const QuantizeOptions& options);
void forecast_command(const Context& context, const QuantizeOptions& options);

struct SweepOptions {
  std::string model, out, text, svg, memory_limit;
  std::vector<std::string> recipes;
  std::size_t window_context = 2048, windows = 6;
  double bits_per_weight = 0;  ///< every recipe is brought to this size; 0 = as it is
  RecipeOptions overrides;
};
/// Several recipes in one go, evaluated and set beside each other.
void sweep(const Context& context, const SweepOptions& options);

struct SensitivityOptions {
  std::string model, out;
  RecipeOptions recipe;
  bool exact = false;
  std::size_t exact_tokens = 512;
};
void sensitivity_command(const Context& context, const SensitivityOptions& options);

struct AllocateOptions {
  std::string model, out, report, achieved, bits = "3,4,5,6", factors;
  RecipeOptions recipe;
  double bits_per_weight = 0, most_rank = 30;
  std::size_t rank_step = 8, exact_tokens = 512;
  bool relative = false;
};
void allocate_command(const Context& context, const AllocateOptions& options);

struct SpectrumOptions {
  std::string model, layer = "*", of = "whitened-error", svg, csv;
};
void spectrum(const Context& context, const SpectrumOptions& options);

struct CompareOptions {
  std::vector<std::string> runs;
  std::string text, reference, svg;
  std::size_t window_context = 2048, windows = 0;
};
void compare(const Context& context, const CompareOptions& options);

struct ChatOptions {
  std::string model, against, prompt, system;
  std::size_t max_tokens = 256;
  float temperature = 0, top_p = 1, min_p = 0, repeat_penalty = 1;
  std::size_t top_k = 0;
  std::vector<std::string> stop;
  std::optional<std::size_t> context;  ///< tokens; the model's own
  bool follow = false;
};
void chat(const Context& context, const ChatOptions& options);

struct ExportOptionsCli {
  std::string run, to = "gguf", out, base_type = "q4_0";
  std::size_t pad_rank_to = 64;
  bool check_only = false;
};
void export_command(const Context& context, const ExportOptionsCli& options);

struct BenchOptions {
  std::string model, prompt_tokens = "128,512";
  std::size_t generate_tokens = 64, repeat = 3;
};
void bench(const Context& context, const BenchOptions& options);

struct SolveOptions {
  std::string problem, out;
  std::size_t batches = 1;  ///< of X, for the statistics that l2qer takes from them
  RecipeOptions recipe;
};
void solve(const Context& context, const SolveOptions& options);

}  // namespace lrc::cli
