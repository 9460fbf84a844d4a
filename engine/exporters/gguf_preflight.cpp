// What llama.cpp will make of the files, said before they are written.
#include "exporters/gguf_preflight.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <set>

#include "exporters/gguf_parts.h"

namespace lrc::gguf_export {
namespace {

std::string megabytes(double bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f MB", bytes / 1e6);
  return text;
}

std::string several(std::size_t count, const std::string& thing) { return std::to_string(count) + " " + thing + (count == 1 ? "" : "s"); }

/// "All 14 layers", "3 of 14 layers".
std::string part_of(std::size_t count, std::size_t total) {
  return (count == total ? "All " + std::to_string(total) : std::to_string(count) + " of " + std::to_string(total)) + " layers";
}

/// "4", "4 and 8": the different values in order.
std::string list_of(const std::set<std::string>& values) {
  std::string text;
  std::size_t i = 0;
  for (const auto& value : values) {
    text += (i == 0 ? "" : i + 1 == values.size() ? " and " : ", ") + value;
    ++i;
  }
  return text;
}

using Plans = std::vector<LayerPlan>;

Check architecture_check(const ExportSource& source) {
  const auto& config = source.model.config();
  const std::string family(source.model.architecture().name);
  const auto architecture = gguf_architecture(source.model);
  if (!architecture)
    return {"architecture", CheckStatus::refused,
            "The architecture " + family + " cannot be written as GGUF; these can: " + exportable_families() + ".", "", ""};
  if (rope_depends_on_length(config))
    return {"architecture", CheckStatus::refused,
            "The rotary frequencies of this model change with the length of the text (" +
                config.rope_scaling.value("rope_type", std::string()) + "), which cannot be written as GGUF.",
            "", ""};
  if (config.sliding_window != 0 && config.sliding_window < config.context)
    return {"architecture", CheckStatus::warning,
            "The model looks back " + std::to_string(config.sliding_window) +
                " tokens only; llama.cpp looks back all the way, so texts longer than that give other results.",
            "Keep the context at " + std::to_string(config.sliding_window) + " tokens.", ""};
  return {"architecture", CheckStatus::ok,
          "The architecture is " + family +
              (*architecture == "llama" ? "; the rows of q and k are put into GGUF's order in " + several(config.blocks, "block") : "") +
              (family == *architecture ? "." : ", which files of this kind call " + std::string(*architecture) + "."),
          "", ""};
}

Check rotation_check(const ExportSource& source) {
  if (source.rotation.r4)
    return {"online-rotation", CheckStatus::refused,
            "The input of down_proj is rotated while the model runs (R4) in " + several(source.model.config().blocks, "block") +
                ", and llama.cpp does not do that.",
            "Solve again without R4.", "solve-without-r4"};
  if (source.rotation.folded())
    return {"online-rotation", CheckStatus::ok,
            std::string("The rotations ") + (source.rotation.r1 ? source.rotation.r2 ? "R1 and R2 are" : "R1 is" : "R2 is") +
                " folded into the weights; nothing is rotated while the model runs.",
            "", ""};
  return {"online-rotation", CheckStatus::ok, "The weights are not rotated.", "", ""};
}

/// R3 belongs to the quantized cache: it is in no weight, and without that cache nothing needs it.
void cache_check(const ExportSource& source, std::vector<Check>& checks) {
  if (source.cache.off()) return;
  checks.push_back(
      {"key-value-cache", CheckStatus::warning,
       "Keys and values of this run are held in " + std::to_string(source.cache.bits) + " bits" +
           (source.rotation.r3 ? " behind the rotation R3" : "") +
           ", and llama.cpp keeps them in float16 by default: it is more exact there, its cache is larger, and its figures are "
           "not those of the run.",
       "", ""});
}

/// Blocks of GGUF hold symmetric integers with float16 scales, and an adapter acts on what llama.cpp makes of the activation.
void format_check(const Plans& plans, std::vector<Check>& checks) {
  std::size_t other = 0, on_codes = 0, parted = 0;
  std::string example;
  for (const auto& plan : plans) {
    if (!plan.quantized) continue;
    const auto& weight = plan.scheme->weight;
    parted += weight.high.any();
    on_codes += plan.rank != 0 && plan.scheme->pair_input == PairInput::quantized;
    if (weight.format == NumberFormat::integer && weight.symmetric) continue;
    ++other;
    if (example.empty())
      example = plan.info->name + " has " + (weight.symmetric ? "the format " + std::string(name(weight.format)) : "zero points");
  }
  if (other != 0)
    checks.push_back({"number-format", CheckStatus::refused,
                      part_of(other, plans.size()) + " cannot be written exactly (" + example +
                          "): GGUF's blocks are written from symmetric integers with one scale each.",
                      "Solve again with the weight format int and without zero points.", ""});
  if (parted != 0)
    checks.push_back({"high-precision-columns", CheckStatus::refused,
                      part_of(parted, plans.size()) +
                          " hold their principal directions in more bits than the others, and a matrix of GGUF has one type.",
                      "Solve again with high_precision 0.", ""});
  if (on_codes != 0)
    checks.push_back(
        {"adapter-input", CheckStatus::refused,
         part_of(on_codes, plans.size()) +
             " correct the quantized activation, and llama.cpp's adapters act on an activation that this run's quantizer never saw.",
         "Solve again with --pair-input unquantized.", ""});
}

void weight_checks(const Plans& plans, const ExportOptions& options, std::vector<Check>& checks) {
  std::size_t odd_groups = 0, odd_rows = 0, narrow = 0, wide = 0, unquantized = 0;
  std::set<std::string> groups, widths;
  std::string example;
  double odd_bytes = 0;
  for (const auto& plan : plans) {
    const auto& scheme = plan.scheme->weight;
    if (!plan.quantized) {
      ++unquantized;
    } else if (plan.info->in_features % 32 != 0) {
      ++odd_rows;
      widths.insert(std::to_string(plan.info->in_features));
      odd_bytes += double(plan.info->parameters()) * 2;
    } else if (!plan.exact()) {
      ++odd_groups;
      groups.insert(std::to_string(scheme.group_size));
      if (example.empty()) example = plan.info->name;
    } else {
      ++(scheme.bits <= 4 ? narrow : wide);
    }
  }
  if (odd_groups != 0)
    checks.push_back({"group-size", CheckStatus::refused,
                      part_of(odd_groups, plans.size()) + " (" + example + ") have a scale for each " + list_of(groups) +
                          " weights, and GGUF's blocks need multiples of 32 in each.",
                      "Solve again with groups of 32 or one scale a row.", ""});
  else
    checks.push_back(
        {"group-size", CheckStatus::ok, "Every scale covers whole blocks of 32 weights, so codes and scales are kept exactly.", "", ""});
  if (odd_rows != 0)
    checks.push_back({"row-length", CheckStatus::warning,
                      "Rows of " + list_of(widths) + " weights are no multiple of 32: " + part_of(odd_rows, plans.size()) +
                          " are written as F16 (" + megabytes(odd_bytes) + "), each value rounded by up to 0.05 %.",
                      "", ""});
  if (wide != 0)
    checks.push_back({"weight-bits", CheckStatus::warning,
                      part_of(wide, plans.size()) + " have codes of more than 4 bits and are written as Q8_0, 8.5 bits a weight.", "", ""});
  if (unquantized != 0)
    checks.push_back({"weight-bits", CheckStatus::warning,
                      part_of(unquantized, plans.size()) + " were left in float and are written as F16, 16 bits a weight.", "", ""});
  if (narrow != 0) {
    const bool with_minimum = base_type(options) == DType::q4_1;
    checks.push_back({"weight-type", CheckStatus::ok,
                      part_of(narrow, plans.size()) + " are written as " + (with_minimum ? "Q4_1, 5.0" : "Q4_0, 4.5") +
                          " bits a weight: llama.cpp keeps a scale for each 32 weights, whatever the run used.",
                      "", ""});
  }
}

void activation_check(const Plans& plans, std::vector<Check>& checks) {
  std::size_t narrow = 0, off = 0, quantized = 0;
  std::set<std::string> bits;
  for (const auto& plan : plans) {
    if (!plan.quantized) continue;
    ++quantized;
    const auto& scheme = plan.scheme->activation;
    if (scheme.off()) ++off;
    if (scheme.bits < 8) {
      ++narrow;
      bits.insert(std::to_string(scheme.bits));
    }
  }
  if (narrow != 0)
    checks.push_back({"activations", CheckStatus::warning,
                      part_of(narrow, plans.size()) + " were solved for activations of " + list_of(bits) +
                          " bits, and llama.cpp computes with 8 bits in blocks of 32 (A8): it is more exact than what was solved for, so "
                          "its figures are not those of the run.",
                      "For the best result there, solve again with 8-bit activations.", ""});
  else if (off != 0)
    checks.push_back(
        {"activations", CheckStatus::ok,
         part_of(off, plans.size()) +
             " were solved for float activations; llama.cpp rounds them to 8 bits in blocks of 32 (a mean KL of about 0.004 on SmolLM2).",
         "", ""});
  else if (quantized != 0)
    checks.push_back({"activations", CheckStatus::ok,
                      "The run was solved for 8-bit activations, which is what llama.cpp computes with (in blocks of 32).", "", ""});
}

void pair_checks(const Plans& plans, const ExportOptions& options, std::vector<Check>& checks) {
  std::size_t pairs = 0, padded = 0, lowest = SIZE_MAX, highest = 0;
  double bytes = 0, padding = 0;
  bool odd = false;
  for (const auto& plan : plans) {
    if (plan.rank == 0) continue;
    ++pairs;
    const double one = double(plan.info->in_features + plan.info->out_features) * 2;
    bytes += double(plan.stored_rank) * one;
    padding += double(plan.stored_rank - plan.rank) * one;
    padded += plan.stored_rank != plan.rank;
    odd = odd || plan.stored_rank % 64 != 0;
    lowest = std::min(lowest, plan.rank);
    highest = std::max(highest, plan.rank);
  }
  if (pairs == 0) {
    checks.push_back({"adapter", CheckStatus::ok, "The run has no low-rank pairs: the base is all there is.", "", ""});
    return;
  }
  checks.push_back({"adapter", CheckStatus::warning,
                    "The adapter (" + several(pairs, "pair") + ", " + megabytes(bytes) +
                        ") is not optional: the codes were fitted with it in place, and the base alone is worse than plain GPTQ.",
                    "Always load both files; the command below does.", ""});
  const std::string range =
      lowest == highest ? "rank " + std::to_string(lowest) : "ranks " + std::to_string(lowest) + " to " + std::to_string(highest);
  if (padded != 0)
    checks.push_back({"rank-padding", CheckStatus::warning,
                      several(padded, "pair") + " (" + range + ") " + (padded == 1 ? "is" : "are") +
                          " padded with zeros to a multiple of " + std::to_string(options.pad_rank_to) + ": " + megabytes(padding) +
                          " more, the same result; llama.cpp is several times slower at other ranks.",
                      "", ""});
  else if (odd)
    checks.push_back(
        {"rank-padding", CheckStatus::warning,
         "Pairs of " + range + " are written as they are; llama.cpp on a CPU is up to 4 times slower at ranks that are no multiple of 64.",
         "Pad ranks to 64.", ""});
  else
    checks.push_back({"rank-padding", CheckStatus::ok, "All " + range + ": multiples of 64, which llama.cpp computes fastest.", "", ""});
}

Check embedding_check(const ExportSource& source) {
  const auto& config = source.model.config();
  const double table = double(config.vocabulary) * double(config.hidden_size) * 2;
  if (config.tied_embeddings && has_head(source))
    return {"untied-embeddings", CheckStatus::warning,
            "The rotation R1 made the head a matrix of its own: the file holds " + megabytes(table) +
                " more than with the original's tied embedding.",
            "", ""};
  return {"untied-embeddings", CheckStatus::ok,
          std::string("The embedding ") + (has_head(source) ? "and the head take " : "serves as head too and takes ") +
              megabytes(has_head(source) ? 2 * table : table) + " in F16.",
          "", ""};
}

Check tokenizer_check(const ExportSource& source) {
  const auto& model = source.model;
  if (const auto refusal = tokenizer_refusal(model); !refusal.empty())
    return {"tokenizer", CheckStatus::refused, refusal,
            "Open the model with its tokenizer files, or from a GGUF file that names its pre-tokenizer.", ""};
  const auto& gguf = model.checkpoint().tokenizer_source().gguf;
  if (const auto problem = model.tokenizer_problem())
    return {"tokenizer", CheckStatus::warning, "The tokenizer is copied as it stands in the original but cannot be tried here: " + *problem,
            "", ""};
  const auto& spec = model.tokenizer()->spec();
  const std::string kind = spec.kind == TokenizerSpec::Kind::sentencepiece_bpe
                               ? "SentencePiece"
                               : "byte-level BPE, pre-tokenizer " + (gguf ? gguf->pre : spec.pre);
  return {"tokenizer", CheckStatus::ok,
          several(model.tokenizer()->size(), "token") + " (" + kind + ") " +
              (gguf ? "are copied from the original." : "are written from the tokenizer files."),
          "", ""};
}

/// The different texts over all quantized layers, most frequent first.
template <typename Text>
std::string over_layers(const ExportSource& source, Text text) {
  std::map<std::string, std::size_t> counts;
  for (const auto& layer : source.layers)
    if (!layer.second.skipped && layer.second.weight.bits < 16) ++counts[text(layer.second)];
  std::vector<std::pair<std::size_t, std::string>> order;
  for (const auto& [what, count] : counts) order.emplace_back(count, what);
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  std::string result;
  for (const auto& [count, what] : order)
    result += (result.empty() ? "" : "; ") + what + (order.size() > 1 ? " (" + several(count, "layer") + ")" : "");
  return result.empty() ? "float" : result;
}

std::string group_text(std::size_t group, const char* whole) {
  return group == 0 ? std::string("one scale a ") + whole : "one scale for " + std::to_string(group) + " values";
}

}  // namespace

std::vector<Check> preflight(const ExportSource& source, const ExportOptions& options) {
  std::vector<Check> checks;
  checks.push_back(architecture_check(source));
  if (checks.back().status == CheckStatus::refused) return checks;
  checks.push_back(rotation_check(source));
  const auto plans = plan_layers(source, options);
  format_check(plans, checks);
  weight_checks(plans, options, checks);
  activation_check(plans, checks);
  cache_check(source, checks);
  pair_checks(plans, options, checks);
  checks.push_back(embedding_check(source));
  checks.push_back(tokenizer_check(source));
  // What refuses is read first.
  std::stable_sort(checks.begin(), checks.end(), [](const Check& a, const Check& b) { return a.status > b.status; });
  return checks;
}

std::vector<ArithmeticRow> arithmetic(const ExportSource& source) {
  std::vector<ArithmeticRow> rows;
  rows.push_back({"weights",
                  over_layers(source,
                              [](const LayerScheme& s) {
                                return std::to_string(s.weight.bits) + "-bit codes, " + group_text(s.weight.group_size, "row") +
                                       (s.weight.symmetric ? "" : ", zero points");
                              }),
                  "the same codes, the scale repeated for each 32 weights"});
  rows.push_back({"activations",
                  over_layers(source,
                              [](const LayerScheme& s) {
                                if (s.activation.off()) return std::string("float32");
                                char clip[16];
                                std::snprintf(clip, sizeof clip, "%.3g", double(s.activation.clip));
                                return std::to_string(s.activation.bits) + " bits, " + group_text(s.activation.group_size, "token") +
                                       (s.activation.symmetric ? "" : ", zero points") + ", clip " + clip;
                              }),
                  "8 bits, one scale for 32 values, no clip"});
  std::string here;
  if (source.rotation.r1) here = "R1 folded";
  if (source.rotation.r2) here += std::string(here.empty() ? "" : ", ") + "R2 folded";
  if (source.rotation.r3) here += std::string(here.empty() ? "" : ", ") + "R3 online on queries and keys";
  if (source.rotation.r4) here += std::string(here.empty() ? "" : ", ") + "R4 online at down_proj";
  rows.push_back({"rotation", here.empty() ? "none" : here,
                  here.empty()         ? "none"
                  : source.rotation.r4 ? "folded ones only; R4 is not possible"
                                       : "the same, in the weights"});
  const bool pairs = std::any_of(source.layers.begin(), source.layers.end(),
                                 [](const auto& layer) { return !layer.second.skipped && layer.second.rank != 0; });
  const auto pair_text = [](const LayerScheme& scheme) {
    if (scheme.rank == 0) return std::string("none");
    const std::string factors = scheme.factors.format == FactorFormat::half ? "float16" : to_string(scheme.factors);
    return factors + " pair on the " + (scheme.pair_input == PairInput::quantized ? "quantized" : "unquantized") + " activation";
  };
  rows.push_back(
      {"branch", pairs ? over_layers(source, pair_text) : "none", pairs ? "float16 pair on the activation rounded to float16" : "none"});
  rows.push_back({"embedding and head", "float32", "float16"});
  rows.push_back(
      {"keys and values",
       source.cache.off() ? "float32" : std::to_string(source.cache.bits) + " bits, " + group_text(source.cache.group_size, "head"),
       "float16 unless set otherwise"});
  return rows;
}

}  // namespace lrc::gguf_export
