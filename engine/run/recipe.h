#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "correction/solve.h"
#include "model/model.h"
#include "model/weights.h"

namespace lrc {

/// A rank as people write it: 57, or 10 % by a rule.
struct RankChoice {
  bool percent = false;
  double value = 0;  ///< a whole number, or per cent
  bool operator==(const RankChoice&) const = default;
};
RankChoice parse_rank(const std::string& text);  ///< "57", "10%", "10 %"; throws Error(bad_input)
std::string to_string(const RankChoice& rank);

/// Settings of one pattern that differ from the recipe's own; only the fields that are set.
struct Override {
  std::string pattern;  ///< shell globs, several with commas
  std::optional<std::string> method;
  std::optional<int> weight_bits, activation_bits, iterations;
  std::optional<std::size_t> group_size;
  std::optional<float> clip;
  std::optional<RankChoice> rank;
  std::optional<bool> deflate;
  std::optional<double> damping, gptq_damping;
  std::optional<DampingToward> damping_toward;
  std::optional<NumberFormat> weight_format, activation_format;
  std::optional<bool> weight_asymmetric, activation_asymmetric, act_order, polish;
  std::optional<WeightClip> weight_clip;
  std::optional<std::size_t> activation_group_size;
  std::optional<std::string> base;
  std::optional<FactorScheme> factors;
  std::optional<PairInput> pair_input;
  std::optional<double> drift;
  std::optional<bool> skip;
  bool operator==(const Override&) const = default;
};
/// "PATTERN:field=value,field=value" as `--set` takes it. Fields are named as in the JSON. Throws Error(bad_input) naming the field.
Override parse_override(const std::string& text);
std::string to_string(const Override& rule);  ///< the same form back

/// Whose inputs the layers are solved on (methods.md 1.7, 1.11): the float model's; those behind the quantized prefix, the float
/// model's being the target; or the float model's at the door of each block and the quantized layers' inside it.
enum class Stream { fp, propagated, replay };
std::string_view name(Stream stream);

/// Channel scales that are folded into the model before it is measured (correction/smoothing.h). SmoothQuant scales what the norms
/// make, as published; the others every input whose predecessor takes the scales (model/channel_scales.h).
enum class Smoothing { none, smoothquant, awq, closed_form };
std::string_view name(Smoothing smoothing);  ///< "none", "smoothquant", "awq", "closed-form"

/// A second calibration text and its part of the calibration windows (EoRA, methods.md 4.10: half a general text, half the task's).
struct CalibrationMix {
  std::string text;
  double share = 0.5;  ///< above 0, below 1
  bool operator==(const CalibrationMix&) const = default;
};

/// All choices of one run. The same JSON from the window and for `lrc quantize --recipe`.
struct Recipe {
  std::string name = "LRC 10 %";
  std::string method = "lrc";
  WeightScheme weight;
  ActivationScheme activation;
  RankChoice rank{true, 10};
  RankRule rank_rule = RankRule::min_dimension;
  int iterations = 1;
  bool deflate = false;
  double damping = 0.01, gptq_damping = 0.01;
  DampingToward damping_toward = DampingToward::zero;
  bool search_clip = false;  ///< the activation clip of each site is chosen by the layers' loss; activation.clip is what it starts from
  bool act_order = false, polish = false;
  std::string base = "rtn";
  FactorScheme factors;
  RangeFinder range_finder = RangeFinder::exact;
  int refine = 0;                       ///< AdamW steps on the output error of each block, after it is solved
  int steps = 100;                      ///< of methods that learn layer by layer (lsi)
  std::size_t square = 0;               ///< lsi: side of its trainable square matrix; 0 = none
  bool learn_scales = false;            ///< lsi with `refine`: the channel scales of smoothquant are learned, too (LET)
  std::optional<PairInput> pair_input;  ///< nothing: as the method defines it
  Stream stream = Stream::fp;
  double drift = 1;
  RotationChoice rotation{true, true, true, 0};
  int high_bits = 8;  ///< of weights and activations along the directions that rotation.high_share sets apart
  /// Keys and values where they enter the cache, head by head of each token (16 bits: float). The float stream that layers are solved
  /// on does not see it, the streams behind the quantized prefix do.
  ActivationScheme cache{.bits = 16, .group_size = 0, .clip = 1.0f, .symmetric = false};
  Smoothing smoothing = Smoothing::none;
  double smoothing_strength = 0.5;  ///< α of SmoothQuant: how much of the inputs' unevenness goes to the weights
  std::string calibration;          ///< a path, or "" for the shipped WikiText-2 train slice
  std::optional<CalibrationMix> calibration_mix;
  std::size_t calibration_tokens = 65536;
  std::size_t calibration_context = 2048;  ///< at most the model's context
  std::size_t skip_first_positions = 0;    ///< of every window, where nothing is measured (massive activations)
  std::size_t held_out_windows = 1;        ///< windows after the calibration ones that only measure (held-out loss)
  std::string layers = "*";                ///< only these; the others stay in float
  std::vector<Override> overrides;         ///< later wins
  bool operator==(const Recipe&) const = default;
};

/// QuaRot's rotations with quantized keys: then R3 belongs to them.
bool asks_for_r3(const Recipe& recipe);
/// Whether both solve the same float model: the same rotations and channel scales. Only then can layer errors be compared.
bool same_transforms(const Recipe& a, const Recipe& b);

Json to_json(const Recipe& recipe);
/// Unknown fields and bad values throw Error(bad_input) naming `origin`, the field and what is allowed.
Recipe recipe_from_json(const Json& json, const std::string& origin);
/// One field by its JSON name; refusals as there.
void set_field(Recipe& recipe, const std::string& field, const Json& value, const std::string& origin);
/// Canonical text: what is saved, hashed and compared.
std::string to_text(const Recipe& recipe);

/// Shipped recipes (resources/recipes/*.json), by name.
std::vector<Recipe> shipped_recipes();
/// A shipped recipe's name, a file, or the JSON object itself. Throws Error(not_found) naming the shipped ones.
Recipe load_recipe(const std::string& name_or_file);
/// The folder with recipes and texts: beside the build, or installed, or $LRC_RESOURCES.
std::filesystem::path resources_folder();

bool matches(const std::string& patterns, const std::string& layer);  ///< shell globs (* ? [..]), commas

/// THE function: what will be done to this layer. Table, forecast, runner and manifest all ask here.
/// Throws Error(bad_input) naming the layer when the choice is impossible (rank above the matrix, group that does not divide).
LayerScheme effective_scheme(const Recipe& recipe, const LayerInfo& layer);
/// The first reason why this recipe cannot be carried out on this model, or nothing.
std::optional<std::string> problem_of(const Recipe& recipe, const Model& model);

/// What a recipe costs, without running.
struct Forecast {
  std::uint64_t layer_bytes = 0;  ///< codes + scales + factors of the linear layers
  std::uint64_t file_bytes = 0;   ///< with embedding, head and norms as the run stores or needs them (float16)
  double bits_per_weight = 0;
  std::uint64_t code_bytes = 0, scale_bytes = 0, factor_bytes = 0;
  std::uint64_t peak_memory_bytes = 0;
  std::uint64_t cache_bytes_per_token = 0;  ///< keys and values of all blocks for one position of the context
  double seconds = 0;
  std::vector<std::pair<std::string, double>> by_stage;  ///< seconds
};
/// Bytes follow from shapes exactly; time from costs measured on this machine (cached), memory from a model of the runner.
Forecast forecast(const Recipe& recipe, const Model& model);

}  // namespace lrc
