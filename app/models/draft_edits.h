#pragma once
// Edits of the draft recipe that the table, the recipe panel and the spectrum's cursor share. A layer's own settings are kept
// as overrides that name layers exactly; overrides with wildcards are rules and stay before them, so that own settings win.
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "model/model.h"
#include "run/recipe.h"

namespace lrc::app {

/// Whether an override is a rule: its pattern has wildcards. Others are layers' own settings.
bool is_rule(const Override& change);

/// A number as people type it into selected rows: 86, +5, -5, *1.5, 10%.
struct Formula {
  enum class Kind { set, add, multiply, percent } kind = Kind::set;
  double value = 0;
};
/// Nothing when the text is no formula.
std::optional<Formula> parse_formula(const std::string& text);
/// The number for a layer whose value is `now` and whose 100 % is `whole`; percentages round down.
double apply(const Formula& formula, double now, double whole);

/// The recipe with one layer's own settings changed by `edit`, for each layer in `layers` (indices into model.layers()).
Recipe with_own_settings(const Recipe& recipe, const Model& model, const std::vector<int>& layers,
                         const std::function<void(Override&, const LayerInfo&)>& edit);
/// The fields that `change` sets, as own settings of the layers; its pattern plays no part.
Recipe with_change(const Recipe& recipe, const Model& model, const std::vector<int>& layers, const Override& change);
Recipe with_rank(const Recipe& recipe, const Model& model, const std::vector<int>& layers, std::size_t rank);
/// Rank or bits by a formula, limited to what the layer can have (rank 0…min(in, out), bits 2…8).
Recipe with_rank_formula(const Recipe& recipe, const Model& model, const std::vector<int>& layers, const Formula& formula);
Recipe with_bits_formula(const Recipe& recipe, const Model& model, const std::vector<int>& layers, const Formula& formula);
/// Back to what the layers inherit.
Recipe without_own_settings(const Recipe& recipe, const Model& model, const std::vector<int>& layers);
/// The layer's own settings, if it has any.
std::optional<Override> own_settings(const Recipe& recipe, const std::string& layer);

/// The recipe with rotations left out for whose widths this model has no Hadamard order.
Recipe fitted_to(const Recipe& recipe, const Model& model);

/// "12.down_proj"
std::string short_name(const LayerInfo& layer);
/// "1.down_proj" for one, "3 layers" for several.
std::string describe_layers(const Model& model, const std::vector<int>& layers);
/// Group sizes (0 = whole row) that divide the input of every layer given: what may be offered.
std::vector<std::size_t> possible_groups(const Model& model, const std::vector<int>& layers);

}  // namespace lrc::app
