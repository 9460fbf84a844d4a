#include "models/recipe_rules.h"

#include <QCoreApplication>
#include <QStringList>
#include <functional>
#include <optional>

#include "base/error.h"
#include "models/draft_edits.h"

namespace lrc::app {

namespace {

QString tr(const char* text) { return QCoreApplication::translate("recipe_rules", text); }

std::optional<LayerScheme> scheme_or_nothing(const Recipe& recipe, const LayerInfo& layer) {
  try {
    return effective_scheme(recipe, layer);
  } catch (const Error&) {
    return {};  // an impossible choice is said by the draft's problem
  }
}

QString chain_of(const Recipe& recipe, const LayerInfo& layer, const QString& what, const std::function<bool(const Override&)>& sets,
                 const std::function<int(const LayerScheme&)>& value) {
  Recipe upto = recipe;
  upto.overrides.clear();
  struct Link {
    QString source;
    std::optional<int> value;
  };
  const auto now = [&] {
    const auto scheme = scheme_or_nothing(upto, layer);
    return scheme ? std::optional(value(*scheme)) : std::nullopt;
  };
  std::vector<Link> links = {{tr("model"), now()}};
  int number = 0;
  for (const Override& change : recipe.overrides) {
    upto.overrides.push_back(change);
    number += is_rule(change);
    if (!sets(change) || !matches(change.pattern, layer.name)) continue;
    links.push_back({is_rule(change) ? tr("rule %1").arg(number) : tr("this layer"), now()});
  }
  if (links.size() == 1) return {};
  QStringList parts;
  for (auto link = links.rbegin(); link != links.rend(); ++link)
    parts << (link == links.rbegin() ? link->source
                                     : QString("%1 (%2)").arg(link->source, link->value ? QString::number(*link->value) : QString("–")));
  const QString last = links.back().value ? QString::number(*links.back().value) : QString("–");
  return QString("%1 %2: %3").arg(what, last, parts.join(QStringLiteral(" ← ")));
}

}  // namespace

std::vector<RuleLine> rules_of(const Recipe& recipe, const Model& model) {
  std::vector<RuleLine> lines;
  for (std::size_t i = 0; i < recipe.overrides.size(); ++i) {
    const Override& rule = recipe.overrides[i];
    if (!is_rule(rule)) continue;
    RuleLine line;
    line.rule = rule;
    line.pattern = QString::fromStdString(rule.pattern);
    line.settings = QString::fromStdString(to_string(rule)).mid(line.pattern.size() + 1);
    Recipe without = recipe;
    without.overrides.erase(without.overrides.begin() + std::ptrdiff_t(i));
    line.dead = true;
    for (const LayerInfo& layer : model.layers()) {
      if (!matches(rule.pattern, layer.name)) continue;
      ++line.hits;
      line.dead = line.dead && scheme_or_nothing(recipe, layer) == scheme_or_nothing(without, layer);
    }
    lines.push_back(std::move(line));
  }
  return lines;
}

Recipe with_rules(const Recipe& recipe, const std::vector<Override>& rules) {
  Recipe result = recipe;
  std::erase_if(result.overrides, [](const Override& change) { return is_rule(change); });
  result.overrides.insert(result.overrides.begin(), rules.begin(), rules.end());
  return result;
}

Override parse_rule(const QString& text) {
  Override rule = parse_override(text.trimmed().toStdString());
  if (!is_rule(rule))
    throw Error(ErrorKind::bad_input, rule.pattern + " names layers and has no * or ?; select them and set them in the selection's scope.");
  return rule;
}

QString rank_chain(const Recipe& recipe, const LayerInfo& layer) {
  return chain_of(
      recipe, layer, tr("rank"), [](const Override& change) { return change.rank.has_value(); },
      [](const LayerScheme& scheme) { return int(scheme.rank); });
}

QString bits_chain(const Recipe& recipe, const LayerInfo& layer) {
  return chain_of(
      recipe, layer, tr("bits"), [](const Override& change) { return change.weight_bits.has_value(); },
      [](const LayerScheme& scheme) { return scheme.weight.bits; });
}

}  // namespace lrc::app
