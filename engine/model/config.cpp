#include "model/config.h"

#include <cmath>
#include <limits>
#include <numbers>

#include "base/error.h"
#include "model/architecture.h"

namespace lrc {
namespace {

// Generous for any model, small enough that products of two sizes cannot overflow.
constexpr std::size_t largest_size = std::size_t(1) << 30;
constexpr std::size_t largest_block_count = 4096;

[[noreturn]] void bad_key(const std::string& origin, const std::string& key, const std::string& why) {
  throw Error(ErrorKind::bad_file, origin + ": the configuration's " + key + " " + why + ".");
}

const Json* find(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

std::size_t whole_number(const Json& value, const std::string& key, const std::string& origin, std::size_t highest = largest_size) {
  const bool integral = value.is_number_integer() || (value.is_number_float() && std::isfinite(value.get<double>()) &&
                                                      value.get<double>() == std::floor(value.get<double>()));
  if (!integral) bad_key(origin, key, "is not a whole number");
  const double number = value.get<double>();
  if (number < 1 || number > double(highest)) bad_key(origin, key, "is " + value.dump() + ", outside of 1 to " + std::to_string(highest));
  return std::size_t(number);
}

std::size_t required_size(const Json& config, const char* key, const std::string& origin, std::size_t highest = largest_size) {
  const Json* value = find(config, key);
  if (!value) bad_key(origin, key, "is missing");
  return whole_number(*value, key, origin, highest);
}

std::size_t size_or(const Json& config, const char* key, std::size_t otherwise, const std::string& origin) {
  const Json* value = find(config, key);
  return value ? whole_number(*value, key, origin) : otherwise;
}

double positive_number(const Json& value, const std::string& key, const std::string& origin) {
  if (!value.is_number()) bad_key(origin, key, "is not a number");
  const double number = value.get<double>();
  if (!std::isfinite(number) || number <= 0) bad_key(origin, key, "is " + value.dump() + ", not a positive number");
  return number;
}

bool flag_or(const Json& config, const char* key, bool otherwise, const std::string& origin) {
  const Json* value = find(config, key);
  if (!value) return otherwise;
  if (!value->is_boolean()) bad_key(origin, key, "is neither true nor false");
  return value->get<bool>();
}

std::int64_t token_id(const Json& value, const std::string& key, const std::string& origin) {
  if (!value.is_number_integer()) bad_key(origin, key, "is not a token id");
  return value.get<std::int64_t>();
}

/// The scaling rule in one form, whether it stands under rope_scaling (`type` or `rope_type`) or under rope_parameters.
void read_rope(const Json& config, const std::string& origin, ModelConfig& result) {
  Json scaling;
  const char* key = "rope_scaling";
  if (const Json* old_style = find(config, key)) scaling = *old_style;
  if (const Json* new_style = find(config, "rope_parameters")) scaling = *new_style, key = "rope_parameters";
  if (const Json* theta = find(config, "rope_theta")) result.rope_theta = positive_number(*theta, "rope_theta", origin);
  double rotary_share = 1.0;
  if (const Json* share = find(config, "partial_rotary_factor")) rotary_share = positive_number(*share, "partial_rotary_factor", origin);
  if (!scaling.is_null()) {
    if (!scaling.is_object()) bad_key(origin, key, "is not an object");
    if (const Json* theta = find(scaling, "rope_theta"))
      result.rope_theta = positive_number(*theta, std::string(key) + ".rope_theta", origin);
    if (const Json* share = find(scaling, "partial_rotary_factor")) {
      rotary_share = positive_number(*share, std::string(key) + ".partial_rotary_factor", origin);
    }
    const Json* type = find(scaling, "rope_type");
    if (!type) type = find(scaling, "type");
    if (!type || !type->is_string()) bad_key(origin, key, "does not name its rope_type");
    const auto rope_type = type->get<std::string>();
    if (rope_type != "default" && rope_type != "none") {
      scaling["rope_type"] = rope_type;
      result.rope_scaling = std::move(scaling);
    }
  }
  if (rotary_share != 1.0) {
    throw Error(ErrorKind::unsupported, origin + ": rotary embedding of a part of each head (partial_rotary_factor) is not supported.");
  }
}

/// What the reference forward pass of the Llama family would do differently, and this program does not do.
void refuse_what_is_lacking(const Json& config, const std::string& origin) {
  if (const Json* quantization = find(config, "quantization_config")) {
    const Json* method = quantization->is_object() ? find(*quantization, "quant_method") : nullptr;
    throw Error(ErrorKind::unsupported, origin + ": the weights are quantized already" +
                                            (method && method->is_string() ? " (" + method->get<std::string>() + ")" : std::string()) +
                                            "; open the original checkpoint instead.");
  }
  for (const char* key : {"num_local_experts", "num_experts"}) {
    if (size_or(config, key, 1, origin) > 1) {
      throw Error(ErrorKind::unsupported, origin + ": mixtures of experts (" + key + ") are not supported.");
    }
  }
  for (const char* key : {"attention_bias", "mlp_bias"}) {
    if (flag_or(config, key, false, origin)) {
      throw Error(ErrorKind::unsupported, origin + ": linear layers with biases (" + key + ") are not supported.");
    }
  }
  if (const Json* activation = find(config, "hidden_act"); activation && *activation != "silu") {
    throw Error(ErrorKind::unsupported,
                origin + ": the activation function " + activation->dump() + " is not supported; supported: \"silu\".");
  }
}

}  // namespace

ModelConfig read_config(const Json& config, const std::string& origin) {
  if (!config.is_object()) throw Error(ErrorKind::bad_file, origin + ": the configuration is not an object.");
  const Json* type = find(config, "model_type");
  if (!type || !type->is_string()) bad_key(origin, "model_type", "is missing");

  ModelConfig result;
  result.architecture = type->get<std::string>();
  find_architecture(result.architecture, origin);
  refuse_what_is_lacking(config, origin);

  result.hidden_size = required_size(config, "hidden_size", origin);
  result.blocks = required_size(config, "num_hidden_layers", origin, largest_block_count);
  result.heads = required_size(config, "num_attention_heads", origin);
  result.kv_heads = size_or(config, "num_key_value_heads", result.heads, origin);
  result.feed_forward = required_size(config, "intermediate_size", origin);
  result.vocabulary = required_size(config, "vocab_size", origin);
  // Absent values are those that the published Llama configurations leave out.
  result.context = size_or(config, "max_position_embeddings", 2048, origin);
  result.norm_epsilon = 1e-6f;
  if (const Json* epsilon = find(config, "rms_norm_eps")) result.norm_epsilon = float(positive_number(*epsilon, "rms_norm_eps", origin));

  if (result.heads % result.kv_heads != 0) {
    bad_key(origin, "num_attention_heads (" + std::to_string(result.heads) + ")",
            "is not a multiple of num_key_value_heads (" + std::to_string(result.kv_heads) + ")");
  }
  if (find(config, "head_dim")) {
    result.head_dim = required_size(config, "head_dim", origin);
  } else {
    if (result.hidden_size % result.heads != 0) {
      bad_key(origin, "hidden_size (" + std::to_string(result.hidden_size) + ")",
              "is not a multiple of num_attention_heads (" + std::to_string(result.heads) + ") and head_dim is not given");
    }
    result.head_dim = result.hidden_size / result.heads;
  }
  if (result.head_dim % 2 != 0) bad_key(origin, "head_dim (" + std::to_string(result.head_dim) + ")", "is odd, so it has no rotary pairs");

  read_rope(config, origin, result);
  if (flag_or(config, "use_sliding_window", true, origin)) result.sliding_window = size_or(config, "sliding_window", 0, origin);
  result.tying_is_said = find(config, "tie_word_embeddings") != nullptr;
  result.tied_embeddings = flag_or(config, "tie_word_embeddings", false, origin);

  if (const Json* bos = find(config, "bos_token_id")) result.bos = token_id(*bos, "bos_token_id", origin);
  if (const Json* eos = find(config, "eos_token_id")) {
    if (eos->is_array()) {
      for (const Json& id : *eos) result.eos.push_back(token_id(id, "eos_token_id", origin));
    } else {
      result.eos.push_back(token_id(*eos, "eos_token_id", origin));
    }
  }
  make_rope(result);  // an unusable scaling rule is said now, not at the first token
  return result;
}

RopeTable make_rope(const ModelConfig& config) {
  const std::size_t half = config.head_dim / 2;
  std::vector<double> frequencies(half);
  for (std::size_t i = 0; i < half; ++i) frequencies[i] = std::pow(config.rope_theta, -double(2 * i) / double(config.head_dim));

  if (!config.rope_scaling.is_null()) {
    const std::string origin = "Rotary embedding";
    const auto number = [&](const char* key) {
      const Json* value = find(config.rope_scaling, key);
      if (!value) bad_key(origin, key, "is missing");
      return positive_number(*value, key, origin);
    };
    const auto type = config.rope_scaling.value("rope_type", std::string());
    if (type == "linear") {
      for (double& frequency : frequencies) frequency /= number("factor");
    } else if (type == "llama3") {
      const double factor = number("factor"), low = number("low_freq_factor"), high = number("high_freq_factor");
      const double original_length = number("original_max_position_embeddings");
      if (high <= low) bad_key(origin, "high_freq_factor", "is not above low_freq_factor");
      for (double& frequency : frequencies) {
        // Turns within the original length: many turns are kept, few are slowed down, those between are blended.
        const double turns = original_length * frequency / (2 * std::numbers::pi);
        const double kept = turns > high ? 1.0 : turns < low ? 0.0 : (turns - low) / (high - low);
        frequency = (1 - kept) * frequency / factor + kept * frequency;
      }
    } else {
      throw Error(ErrorKind::unsupported, "The rotary scaling \"" + type + "\" is not supported; supported: default, linear, llama3.");
    }
  }
  if (!config.rope_factors.empty() && config.rope_factors.size() != half) {
    throw Error(ErrorKind::bad_file, "The file has " + std::to_string(config.rope_factors.size()) +
                                         " rotary factors (rope_freqs.weight), but half of the head dimension is " + std::to_string(half) +
                                         ".");
  }

  RopeTable table;
  table.inverse_frequencies.resize(half);
  for (std::size_t i = 0; i < half; ++i) {
    const double factor = config.rope_factors.empty() ? 1.0 : double(config.rope_factors[i]);
    if (!(factor > 0)) throw Error(ErrorKind::bad_file, "A rotary factor (rope_freqs.weight) is not positive.");
    table.inverse_frequencies[i] = float(frequencies[i] / factor);
  }
  return table;
}

}  // namespace lrc
