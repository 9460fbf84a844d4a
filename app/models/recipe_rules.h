#pragma once
// Rules of a recipe: patterns with wildcards and what they set, in their order. Later ones win; a layer's own settings win over all.
#include <QString>
#include <vector>

#include "model/model.h"
#include "run/recipe.h"

namespace lrc::app {

struct RuleLine {
  Override rule;
  QString pattern, settings;  ///< "*.v_proj", "weight_bits=5"
  int hits = 0;               ///< layers that the pattern matches
  bool dead = false;          ///< nothing would be different without it
};
std::vector<RuleLine> rules_of(const Recipe& recipe, const Model& model);
/// The recipe with these rules in place of its own; the layers' own settings stay behind them.
Recipe with_rules(const Recipe& recipe, const std::vector<Override>& rules);
/// From the text of `--set`. Throws Error(bad_input): unknown fields, bad values, a pattern without a wildcard.
Override parse_rule(const QString& text);

/// Where a layer's rank or bits come from, the last word first: "rank 115: this layer ← rule 2 (86) ← model (57)". Empty where the
/// model-wide value is all there is.
QString rank_chain(const Recipe& recipe, const LayerInfo& layer);
QString bits_chain(const Recipe& recipe, const LayerInfo& layer);

}  // namespace lrc::app
