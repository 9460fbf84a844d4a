#include "models/match_choices.h"

#include <QObject>

namespace lrc::app {

std::vector<MatchChoice> match_choices(const Manifest& run) {
  std::vector<MatchChoice> choices;
  const auto offer = [&](const char* id, const QString& title, const char* method, const FactorScheme& factors) {
    Recipe recipe = run.recipe;
    // Rules set ranks and bits layer by layer: they are the other method's.
    recipe.overrides.clear();
    recipe.method = method;
    recipe.factors = factors;
    recipe.rank = find_method(method).uses_rank ? RankChoice{true, 10} : RankChoice{false, 0};
    if (recipe.method != run.recipe.method) {
      recipe.damping = find_method(method).damping;
      recipe.pair_input.reset();
    }
    recipe.name = title.toStdString();
    const bool same_method = recipe.method == run.recipe.method;
    if (same_method && (recipe.factors == run.recipe.factors || !find_method(method).uses_rank) && run.recipe.overrides.empty()) return;
    choices.push_back({QString(id), title, recipe});
  };
  const FactorScheme half, whole = factor_scheme("int8").value();
  offer("lqer", QObject::tr("LQER"), "lqer", half);
  offer("gptq", QObject::tr("GPTQ + plain bits"), "gptq", half);
  offer("lrc", QObject::tr("LRC"), "lrc", half);
  offer("lrc_int8", QObject::tr("LRC int8 factors"), "lrc", whole);
  offer("qera", QObject::tr("QERA exact"), "qera", half);
  offer("svd", QObject::tr("SVD of the residual"), "svd", half);
  return choices;
}

}  // namespace lrc::app
