#include "run/recipe_title.h"

#include <algorithm>
#include <cstdio>
#include <set>
#include <sstream>

namespace lrc {
namespace {

std::string plain(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%g", value);
  return text;
}

std::string grouped(std::size_t count) {
  const std::string digits = std::to_string(count);
  std::string text;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

std::string rank_text(const RankChoice& rank) { return rank.percent ? plain(rank.value) + " %" : "rank " + plain(rank.value); }
std::string toward_text(DampingToward toward) { return toward == DampingToward::original ? "damped toward W" : "damped toward 0"; }

std::string group_text(std::size_t size) { return size == 0 ? "per row" : "g" + std::to_string(size); }

std::vector<std::string> split(const std::string& pattern) {
  std::vector<std::string> parts;
  std::istringstream list(pattern);
  for (std::string part; std::getline(list, part, ',');) {
    std::erase(part, ' ');
    if (!part.empty()) parts.push_back(part);
  }
  return parts;
}

/// "down_proj" for *.down_proj or for all names of that role, "1.down_proj" for one layer, else "3 layers".
std::string who(const std::string& pattern, const Model* model) {
  const std::vector<std::string> parts = split(pattern);
  const auto last = [](const std::string& part) { return part.substr(part.rfind('.') == std::string::npos ? 0 : part.rfind('.') + 1); };
  if (parts.size() == 1 && parts.front().find_first_of("*?[") != std::string::npos) {
    const std::string& glob = parts.front();
    const std::string role = last(glob);
    const bool only_role = glob == "*." + role && role.find_first_of("*?[") == std::string::npos;
    return only_role ? role : glob;
  }
  if (parts.size() > 1 &&
      std::any_of(parts.begin(), parts.end(), [](const auto& p) { return p.find_first_of("*?[") != std::string::npos; }))
    return parts.front() + " and others";
  if (!model) return parts.size() == 1 ? parts.front() : std::to_string(parts.size()) + " layers";
  std::set<Role> roles;
  std::size_t known = 0;
  for (const std::string& part : parts)
    if (const LayerInfo* layer = model->find_layer(part)) {
      roles.insert(layer->role);
      ++known;
    }
  if (parts.size() == 1 && known == 1) {
    const LayerInfo& layer = *model->find_layer(parts.front());
    return std::to_string(layer.block) + "." + std::string(name(layer.role));
  }
  const auto of_role = [&](Role role) {
    return std::size_t(std::count_if(model->layers().begin(), model->layers().end(), [&](const LayerInfo& l) { return l.role == role; }));
  };
  if (roles.size() == 1 && known == of_role(*roles.begin())) return std::string(name(*roles.begin()));
  if (known == model->layers().size()) return "all layers";
  return std::to_string(parts.size()) + " layers";
}

std::string settings(const Override& own) {
  std::vector<std::string> words;
  if (own.method) words.push_back(*own.method);
  if (own.rank) words.push_back(rank_text(*own.rank));
  if (own.weight_bits) words.push_back("W" + std::to_string(*own.weight_bits));
  if (own.activation_bits) words.push_back("A" + std::to_string(*own.activation_bits));
  if (own.group_size) words.push_back(group_text(*own.group_size));
  if (own.clip) words.push_back("clip " + plain(double(*own.clip)));
  if (own.iterations) words.push_back("T = " + std::to_string(*own.iterations));
  if (own.deflate) words.push_back(*own.deflate ? "deflated" : "not deflated");
  if (own.damping) words.push_back("damping " + plain(*own.damping));
  if (own.damping_toward) words.push_back(toward_text(*own.damping_toward));
  if (own.gptq_damping) words.push_back("GPTQ damping " + plain(*own.gptq_damping));
  if (own.skip) words.push_back(*own.skip ? "in float" : "quantized");
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

std::string rotation_text(const RotationChoice& rotation) {
  std::string text;
  if (rotation.r1) text += " R1";
  if (rotation.r2) text += " R2";
  if (rotation.r3) text += " R3";
  if (rotation.r4) text += " R4";
  return text.empty() ? std::string("no rotation") : std::string("only").append(text);
}

}  // namespace

std::vector<std::string> differences(const Recipe& base, const Recipe& recipe, const Model* model) {
  std::vector<std::string> out;
  const auto say = [&out](bool differs, const std::string& phrase) {
    if (differs) out.push_back(phrase);
  };
  say(recipe.method != base.method, recipe.method);
  say(!(recipe.rank == base.rank), rank_text(recipe.rank));
  say(recipe.rank_rule != base.rank_rule, recipe.rank_rule == RankRule::parameters ? "rank by parameters" : "rank by min(in, out)");
  say(recipe.iterations != base.iterations, "T = " + std::to_string(recipe.iterations));
  say(recipe.deflate != base.deflate, recipe.deflate ? "deflated" : "not deflated");
  say(recipe.weight.bits != base.weight.bits, "W" + std::to_string(recipe.weight.bits));
  say(recipe.weight.group_size != base.weight.group_size, group_text(recipe.weight.group_size));
  say(recipe.weight.clip != base.weight.clip, recipe.weight.clip == WeightClip::none  ? "no clip search"
                                              : recipe.weight.clip == WeightClip::awq ? "AWQ clips"
                                                                                      : "clip search");
  say(recipe.activation.bits != base.activation.bits, "A" + std::to_string(recipe.activation.bits));
  say(recipe.activation.group_size != base.activation.group_size,
      recipe.activation.group_size == 0 ? "A per token" : "A g" + std::to_string(recipe.activation.group_size));
  say(recipe.activation.clip != base.activation.clip, "clip " + plain(double(recipe.activation.clip)));
  say(recipe.cache.bits != base.cache.bits, "KV" + std::to_string(recipe.cache.bits));
  say(recipe.cache.group_size != base.cache.group_size,
      recipe.cache.group_size == 0 ? "KV per head" : "KV g" + std::to_string(recipe.cache.group_size));
  say(recipe.cache.clip != base.cache.clip, "KV clip " + plain(double(recipe.cache.clip)));
  say(recipe.cache.symmetric != base.cache.symmetric, recipe.cache.symmetric ? "KV symmetric" : "KV with zero points");
  const RotationChoice &r = recipe.rotation, &b = base.rotation;
  if (r.r1 != b.r1 || r.r2 != b.r2 || r.r3 != b.r3 || r.r4 != b.r4) {
    const int changed = (r.r1 != b.r1) + (r.r2 != b.r2) + (r.r3 != b.r3) + (r.r4 != b.r4);
    const bool on = (r.r1 && !b.r1) || (r.r2 && !b.r2) || (r.r3 && !b.r3) || (r.r4 && !b.r4);
    const char* which = r.r1 != b.r1 ? "R1" : r.r2 != b.r2 ? "R2" : r.r3 != b.r3 ? "R3" : "R4";
    out.push_back(changed == 1 && r.any() ? (on ? "with " : "no ") + std::string(which) : rotation_text(r));
  }
  say(r.file != b.file, r.file.empty() ? "Hadamard rotations" : "rotations of " + std::filesystem::path(r.file).filename().string());
  say(r.high_share != b.high_share,
      r.high_share == 0 ? "no high precision" : plain(100 * r.high_share) + " % in " + std::to_string(recipe.high_bits) + " bits");
  say(recipe.high_bits != base.high_bits && r.high_share == b.high_share,
      "high precision in " + std::to_string(recipe.high_bits) + " bits");
  say(recipe.smoothing != base.smoothing,
      recipe.smoothing == Smoothing::none ? "no smoothing" : "smoothing " + std::string(name(recipe.smoothing)));
  say(recipe.smoothing_strength != base.smoothing_strength, "strength " + plain(recipe.smoothing_strength));
  say(r.seed != b.seed, "seed " + std::to_string(r.seed));
  say(recipe.calibration != base.calibration,
      recipe.calibration.empty() ? "shipped text" : std::filesystem::path(recipe.calibration).filename().string());
  const auto& mix = recipe.calibration_mix;
  say(mix != base.calibration_mix,
      mix ? "mixed with " + plain(100 * mix->share) + " % " + std::filesystem::path(mix->text).filename().string() : "one text");
  say(recipe.calibration_tokens != base.calibration_tokens, grouped(recipe.calibration_tokens) + " tokens");
  say(recipe.calibration_context != base.calibration_context, "context " + grouped(recipe.calibration_context));
  say(recipe.skip_first_positions != base.skip_first_positions,
      recipe.skip_first_positions == 0   ? "every position"
      : recipe.skip_first_positions == 1 ? "without position 0"
                                         : "without the first " + std::to_string(recipe.skip_first_positions) + " positions");
  say(recipe.held_out_windows != base.held_out_windows, std::to_string(recipe.held_out_windows) + " held out");
  say(recipe.damping != base.damping, "damping " + plain(recipe.damping));
  say(recipe.damping_toward != base.damping_toward, toward_text(recipe.damping_toward));
  say(recipe.gptq_damping != base.gptq_damping, "GPTQ damping " + plain(recipe.gptq_damping));
  say(recipe.search_clip != base.search_clip, recipe.search_clip ? "activation clip search" : "no activation clip search");
  say(recipe.act_order != base.act_order, recipe.act_order ? "act order" : "no act order");
  say(recipe.polish != base.polish, recipe.polish ? "polished" : "not polished");
  say(recipe.base != base.base, "base " + recipe.base);
  say(recipe.range_finder != base.range_finder,
      recipe.range_finder == RangeFinder::randomized ? "randomized range finder" : "exact eigenproblems");
  say(recipe.stream != base.stream, std::string(name(recipe.stream)).append(" stream"));
  say(recipe.refine != base.refine, recipe.refine == 0 ? "not refined" : "refined " + std::to_string(recipe.refine));
  say(recipe.steps != base.steps, std::to_string(recipe.steps) + " steps");
  say(recipe.square != base.square, "square " + std::to_string(recipe.square));
  say(recipe.learn_scales != base.learn_scales, recipe.learn_scales ? "learned scales" : "no learned scales");
  say(recipe.drift != base.drift, "drift " + plain(recipe.drift));
  say(recipe.layers != base.layers, "only " + recipe.layers);
  for (const Override& own : recipe.overrides)
    if (std::find(base.overrides.begin(), base.overrides.end(), own) == base.overrides.end())
      if (const std::string words = settings(own); !words.empty()) out.push_back(who(own.pattern, model) + " " + words);
  if (out.empty()) {
    // A field that has no phrase here: the difference is not passed over in silence.
    Recipe renamed = recipe;
    renamed.name = base.name;
    if (!(renamed == base)) out.push_back("edited");
  }
  return out;
}

const Recipe* origin_of(const std::string& name, const std::vector<Recipe>& shipped) {
  const Recipe* best = nullptr;
  for (const Recipe& candidate : shipped) {
    const bool from = name == candidate.name || name.rfind(candidate.name + ", ", 0) == 0;
    if (from && (!best || candidate.name.size() > best->name.size())) best = &candidate;
  }
  return best;
}

std::string title_of(const Recipe& recipe, const std::vector<Recipe>& shipped, const Model* model) {
  const Recipe* base = origin_of(recipe.name, shipped);
  if (!base) return recipe.name;
  const std::vector<std::string> words = differences(*base, recipe, model);
  std::string title = base->name;
  for (std::size_t i = 0; i < words.size() && i < 3; ++i) title += ", " + words[i];
  if (words.size() > 3) title += ", " + std::to_string(words.size() - 3) + " more";
  return title;
}

}  // namespace lrc
