// Rotary frequencies and what makes them reach further: one factor for all (linear), by frequency (llama3), by the length of
// the sequence (dynamic), or a factor for each frequency (longrope).
#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"
#include "model/config.h"
#include "model/config_fields.h"

namespace lrc {
namespace {

constexpr const char* original_length_key = "original_max_position_embeddings";

std::string scaling_type(const ModelConfig& config) {
  return config.rope_scaling.is_object() ? config.rope_scaling.value("rope_type", std::string()) : std::string();
}

ConfigFields fields_of(const ModelConfig& config) { return {config.rope_scaling, "Rotary embedding"}; }

/// Dynamic NTK scaling, for sequences above the trained length: a larger base stretches the slow frequencies most.
double dynamic_base(const ModelConfig& config, std::size_t length) {
  const auto fields = fields_of(config);
  const double trained = double(fields.size_or(original_length_key, config.context)), factor = fields.required_number("factor");
  const double dimensions = double(config.head_dim);
  if (config.head_dim <= 2) fields.bad("rope_type", "is dynamic, which heads of 2 dimensions cannot have");
  const double stretch = factor * std::max(double(length), trained) / trained - (factor - 1);
  return config.rope_theta * std::pow(stretch, dimensions / (dimensions - 2));
}

std::vector<double> factors_of(const ModelConfig& config, const char* key, std::size_t count) {
  const auto fields = fields_of(config);
  const Json* values = fields.find(key);
  if (!values) fields.bad(key, "is missing");
  if (!values->is_array() || values->size() != count) fields.bad(key, "is not a list of " + std::to_string(count) + " numbers");
  std::vector<double> factors;
  for (const Json& value : *values) {
    if (!value.is_number() || !(value.get<double>() > 0) || !std::isfinite(value.get<double>()))
      fields.bad(key, "holds " + value.dump() + ", which is not a positive number");
    factors.push_back(value.get<double>());
  }
  return factors;
}

void scale_llama3(const ModelConfig& config, std::vector<double>& frequencies) {
  const auto fields = fields_of(config);
  const double factor = fields.required_number("factor"), low = fields.required_number("low_freq_factor"),
               high = fields.required_number("high_freq_factor"), original_length = fields.required_number(original_length_key);
  if (high <= low) fields.bad("high_freq_factor", "is not above low_freq_factor");
  for (double& frequency : frequencies) {
    // Turns within the original length: many turns are kept, few are slowed down, those between are blended.
    const double turns = original_length * frequency / (2 * std::numbers::pi);
    const double kept = turns > high ? 1.0 : turns < low ? 0.0 : (turns - low) / (high - low);
    frequency = (1 - kept) * frequency / factor + kept * frequency;
  }
}

/// Both sets are checked, whichever the length takes. Returns what cosines and sines are multiplied by.
float scale_longrope(const ModelConfig& config, std::size_t length, std::vector<double>& frequencies) {
  const auto fields = fields_of(config);
  const auto slow = factors_of(config, "long_factor", frequencies.size()), fast = factors_of(config, "short_factor", frequencies.size());
  const auto& factors = rope_is_long(config, length) ? slow : fast;
  for (std::size_t i = 0; i < frequencies.size(); ++i) frequencies[i] /= factors[i];
  const double original = double(fields.size_or(original_length_key, config.context));
  const double stretch = fields.find(original_length_key) ? double(config.context) / original : fields.number_or("factor", 1.0);
  const double from_lengths = stretch <= 1 || original <= 1 ? 1.0 : std::sqrt(1 + std::log(stretch) / std::log(original));
  return float(fields.number_or("attention_factor", from_lengths));
}

}  // namespace

bool rope_depends_on_length(const ModelConfig& config) {
  const auto type = scaling_type(config);
  return type == "dynamic" || type == "longrope";
}

bool rope_is_long(const ModelConfig& config, std::size_t length) {
  return scaling_type(config) == "longrope" && length > fields_of(config).size_or(original_length_key, config.context);
}

RopeTable make_rope(const ModelConfig& config, std::size_t length) {
  const auto type = scaling_type(config);
  const double base = type == "dynamic" ? dynamic_base(config, length) : config.rope_theta;
  const std::size_t half = config.head_dim / 2;
  std::vector<double> frequencies(half);
  for (std::size_t i = 0; i < half; ++i) frequencies[i] = std::pow(base, -double(2 * i) / double(config.head_dim));

  RopeTable table;
  if (type == "linear") {
    const double factor = fields_of(config).required_number("factor");
    for (double& frequency : frequencies) frequency /= factor;
  } else if (type == "llama3") {
    scale_llama3(config, frequencies);
  } else if (type == "longrope") {
    table.attention_factor = scale_longrope(config, length, frequencies);
  } else if (!type.empty() && type != "dynamic") {
    throw Error(ErrorKind::unsupported,
                "The rotary scaling \"" + type + "\" is not supported; supported: default, linear, llama3, dynamic, longrope.");
  }
  if (!config.rope_factors.empty() && config.rope_factors.size() != half) {
    throw Error(ErrorKind::bad_file, "The file has " + std::to_string(config.rope_factors.size()) +
                                         " rotary factors (rope_freqs.weight), but half of the head dimension is " + std::to_string(half) +
                                         ".");
  }
  table.inverse_frequencies.resize(half);
  for (std::size_t i = 0; i < half; ++i) {
    const double factor = config.rope_factors.empty() ? 1.0 : double(config.rope_factors[i]);
    if (!(factor > 0)) throw Error(ErrorKind::bad_file, "A rotary factor (rope_freqs.weight) is not positive.");
    table.inverse_frequencies[i] = float(frequencies[i] / factor);
  }
  return table;
}

}  // namespace lrc
