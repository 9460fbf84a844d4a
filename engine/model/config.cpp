#include "model/config.h"

#include <algorithm>

#include "base/error.h"
#include "model/architecture.h"
#include "model/config_fields.h"

namespace lrc {
namespace {

constexpr std::size_t largest_block_count = 4096;

/// The scaling rule in one form, whether it stands under rope_scaling (`type` or `rope_type`) or under rope_parameters.
void read_rope(const ConfigFields& fields, const std::string& origin, ModelConfig& result) {
  Json scaling;
  const char* key = "rope_scaling";
  if (const Json* old_style = fields.find(key)) scaling = *old_style;
  if (const Json* new_style = fields.find("rope_parameters")) scaling = *new_style, key = "rope_parameters";
  result.rope_theta = fields.number_or("rope_theta", result.rope_theta);
  double rotary_share = fields.number_or("partial_rotary_factor", 1.0);
  if (!scaling.is_null()) {
    if (!scaling.is_object()) fields.bad(key, "is not an object");
    const ConfigFields inner(scaling, origin);
    result.rope_theta = inner.number_or("rope_theta", result.rope_theta);
    rotary_share = inner.number_or("partial_rotary_factor", rotary_share);
    const Json* type = inner.find("rope_type");
    if (!type) type = inner.find("type");
    if (!type || !type->is_string()) fields.bad(key, "does not name its rope_type");
    const auto rope_type = type->get<std::string>();
    if (rope_type != "default" && rope_type != "none") {
      scaling["rope_type"] = rope_type == "su" ? "longrope" : rope_type;  // the name that the first of these models had for it
      // Phi-3 keeps it beside the rule.
      if (const Json* original = fields.find("original_max_position_embeddings");
          original && !inner.find("original_max_position_embeddings"))
        scaling["original_max_position_embeddings"] = *original;
      if (rope_type == "dynamic" && !ConfigFields(scaling, origin).find("original_max_position_embeddings")) {
        // The configuration names the trained length; the rule is there to go beyond it.
        scaling["original_max_position_embeddings"] = result.context;
        result.context = std::size_t(double(result.context) * std::min(1024.0, std::max(1.0, inner.number_or("factor", 1.0))));
      }
      result.rope_scaling = std::move(scaling);
    }
  }
  if (rotary_share != 1.0) {
    throw Error(ErrorKind::unsupported, origin + ": rotary embedding of a part of each head (partial_rotary_factor) is not supported.");
  }
}

/// What the reference forward pass of the family would do differently, and this program does not do.
void refuse_what_is_lacking(const ConfigFields& fields, const Architecture& architecture, const std::string& origin) {
  if (const Json* quantization = fields.find("quantization_config")) {
    const Json* method = quantization->is_object() ? ConfigFields(*quantization, origin).find("quant_method") : nullptr;
    throw Error(ErrorKind::unsupported, origin + ": the weights are quantized already" +
                                            (method && method->is_string() ? " (" + method->get<std::string>() + ")" : std::string()) +
                                            "; open the original checkpoint instead.");
  }
  if (!architecture.has(Role::router)) {
    for (const char* key : {"num_local_experts", "num_experts"}) {
      if (fields.size_or(key, 1) > 1) {
        throw Error(ErrorKind::unsupported, origin + ": mixtures of experts (" + key + ") are not supported for the architecture \"" +
                                                std::string(architecture.name) + "\".");
      }
    }
  }
  for (const char* key : {"hidden_act", "activation_function"}) {
    if (const Json* activation = fields.find(key); activation && *activation != std::string(architecture.activation)) {
      throw Error(ErrorKind::unsupported, origin + ": the activation function " + activation->dump() + " (" + key + ")" +
                                              " is not supported; supported for \"" + std::string(architecture.name) + "\": \"" +
                                              std::string(architecture.activation) + "\".");
    }
  }
}

/// Which blocks look back all the way although there is a sliding window.
void read_layer_types(const ConfigFields& fields, ModelConfig& result) {
  const Json* types = fields.find("layer_types");
  if (!types) return;
  if (!types->is_array() || types->size() != result.blocks) fields.bad("layer_types", "is not a list of num_hidden_layers entries");
  for (const Json& type : *types) {
    if (type != "full_attention" && type != "sliding_attention")
      fields.bad("layer_types", "names " + type.dump() + ", which is neither \"full_attention\" nor \"sliding_attention\"");
    result.full_attention.push_back(type == "full_attention");
  }
}

void read_heads(const ConfigFields& fields, ModelConfig& result) {
  result.heads = fields.required_size("num_attention_heads");
  result.kv_heads = fields.size_or("num_key_value_heads", result.heads);
  if (result.heads % result.kv_heads != 0) {
    fields.bad("num_attention_heads (" + std::to_string(result.heads) + ")",
               "is not a multiple of num_key_value_heads (" + std::to_string(result.kv_heads) + ")");
  }
  result.head_dim = fields.size_or("head_dim", 0);
}

}  // namespace

ModelConfig read_config(const Json& config, const std::string& origin) {
  if (!config.is_object()) throw Error(ErrorKind::bad_file, origin + ": the configuration is not an object.");
  const ConfigFields fields(config, origin);
  const Json* type = fields.find("model_type");
  if (!type || !type->is_string()) fields.bad("model_type", "is missing");

  ModelConfig result;
  result.architecture = type->get<std::string>();
  const Architecture& architecture = find_architecture(result.architecture, origin);
  refuse_what_is_lacking(fields, architecture, origin);

  result.hidden_size = fields.required_size("hidden_size");
  result.blocks = fields.required_size("num_hidden_layers", largest_block_count);
  read_heads(fields, result);
  result.feed_forward = fields.required_size(std::string(architecture.feed_forward_key).c_str());
  result.vocabulary = fields.required_size("vocab_size");
  // Absent values are those that the published configurations leave out.
  result.context = fields.size_or("max_position_embeddings", 2048);
  result.norm = architecture.norm;
  result.norm_epsilon = architecture.norm == NormKind::layer ? float(fields.number_or("layer_norm_eps", 1e-5))
                                                             : float(fields.number_or("rms_norm_eps", 1e-6));
  if (fields.find("attention_bias")) result.attention_bias = fields.flag_or("attention_bias", false);
  if (fields.find("mlp_bias")) result.mlp_bias = fields.flag_or("mlp_bias", false);
  result.rope_theta = architecture.default_rope_theta;
  read_rope(fields, origin, result);
  if (fields.flag_or("use_sliding_window", true)) result.sliding_window = fields.size_or("sliding_window", 0);
  read_layer_types(fields, result);
  result.tying_is_said = fields.find("tie_word_embeddings") != nullptr || architecture.tied_by_default;
  result.tied_embeddings = fields.flag_or("tie_word_embeddings", architecture.tied_by_default);
  if (architecture.read_config) architecture.read_config(config, origin, result);

  if (result.head_dim == 0) {
    if (result.hidden_size % result.heads != 0) {
      fields.bad("hidden_size (" + std::to_string(result.hidden_size) + ")",
                 "is not a multiple of num_attention_heads (" + std::to_string(result.heads) + ") and head_dim is not given");
    }
    result.head_dim = result.hidden_size / result.heads;
  }
  if (const Json* bos = fields.find("bos_token_id")) result.bos = fields.token_id(*bos, "bos_token_id");
  if (const Json* eos = fields.find("eos_token_id")) {
    if (eos->is_array()) {
      for (const Json& id : *eos) result.eos.push_back(fields.token_id(id, "eos_token_id"));
    } else {
      result.eos.push_back(fields.token_id(*eos, "eos_token_id"));
    }
  }
  if (!architecture.learned_positions) {
    if (result.head_dim % 2 != 0) fields.bad("head_dim (" + std::to_string(result.head_dim) + ")", "is odd, so it has no rotary pairs");
    make_rope(result);  // an unusable scaling rule is said now, not at the first token
  }
  return result;
}

}  // namespace lrc
