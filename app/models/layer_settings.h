#pragma once
// Settings of one layer, to be given to others: which fields, and to which layers.
#include <QString>
#include <optional>
#include <vector>

#include "model/model.h"
#include "run/recipe.h"

namespace lrc::app {

enum class SettingField { method, weight_bits, group, activation_bits, clip, rank, passes, deflate, damping };
struct SettingChoice {
  SettingField field;
  QString name, value;  ///< "Rank", "115 (20 %)"
};

/// The effective settings of a layer, as they were when they were copied.
struct CopiedSettings {
  QString from;  ///< "1.down_proj"
  LayerScheme scheme;
  std::size_t limit = 0;  ///< min(out, in) of that layer: what its rank is a part of
};
CopiedSettings copy_settings(const Recipe& recipe, const Model& model, int layer);
std::vector<SettingChoice> choices_of(const CopiedSettings& settings);

enum class PasteTarget { selection, same_role, same_block, pattern };
/// The layers that a target means; `pattern` in the words of the layer filter. Throws Error(bad_input) when the pattern is none.
std::vector<int> layers_of_target(PasteTarget target, const Model& model, const std::vector<int>& selection, int current,
                                  const QString& pattern);

/// The recipe with these fields of `settings` as own settings of `layers`. The rank goes as it is to layers of the same
/// min(out, in), to others as the same share of theirs; a group that does not divide a layer is left as it was there.
Recipe with_settings(const Recipe& recipe, const Model& model, const CopiedSettings& settings, const std::vector<SettingField>& fields,
                     const std::vector<int>& layers);

}  // namespace lrc::app
