#include "models/layer_settings.h"

#include <QObject>
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "models/draft_edits.h"
#include "models/layer_filter.h"

namespace lrc::app {

namespace {
QString tr(const char* text) { return QObject::tr(text); }
std::size_t limit_of(const LayerInfo& layer) { return std::min(layer.out_features, layer.in_features); }
}  // namespace

CopiedSettings copy_settings(const Recipe& recipe, const Model& model, int layer) {
  const LayerInfo& info = model.layers().at(std::size_t(layer));
  return {QString::fromStdString(short_name(info)), effective_scheme(recipe, info), limit_of(info)};
}

std::vector<SettingChoice> choices_of(const CopiedSettings& settings) {
  const LayerScheme& s = settings.scheme;
  return {
      {SettingField::rank, tr("Rank"),
       QString("%1 (%2 %)").arg(s.rank).arg(100.0 * double(s.rank) / double(std::max<std::size_t>(1, settings.limit)), 0, 'f', 0)},
      {SettingField::weight_bits, tr("Weight bits"), QString::number(s.weight.bits)},
      {SettingField::group, tr("Group"), s.weight.group_size == 0 ? tr("row") : QString::number(s.weight.group_size)},
      {SettingField::activation_bits, tr("Activation bits"), QString::number(s.activation.bits)},
      {SettingField::clip, tr("Activation clip"), QString::number(double(s.activation.clip), 'f', 2)},
      {SettingField::method, tr("Method"), QString::fromStdString(s.method)},
      {SettingField::passes, tr("Passes"), QString::number(s.iterations)},
      {SettingField::deflate, tr("Deflated"), s.deflate ? tr("yes") : tr("no")},
      {SettingField::damping, tr("Damping"),
       QString::number(s.damping) + (s.damping_toward == DampingToward::original ? tr(" toward the original") : QString())},
  };
}

std::vector<int> layers_of_target(PasteTarget target, const Model& model, const std::vector<int>& selection, int current,
                                  const QString& pattern) {
  if (target == PasteTarget::selection) return selection;
  std::vector<int> layers;
  const auto& all = model.layers();
  LayerFilter filter;
  if (target == PasteTarget::pattern) {
    filter = LayerFilter::parse(pattern);
    if (pattern.trimmed().isEmpty())
      throw Error(ErrorKind::bad_input, tr("Say which layers: role:down, block:0-3, a word of their name.").toStdString());
    if (!filter.valid())
      throw Error(ErrorKind::bad_input, tr("column %1: %2").arg(filter.problem_column()).arg(filter.problem()).toStdString());
  } else if (current < 0) {
    return layers;
  }
  for (std::size_t i = 0; i < all.size(); ++i) {
    bool wanted = false;
    if (target == PasteTarget::same_role) wanted = all[i].role == all[std::size_t(current)].role;
    if (target == PasteTarget::same_block) wanted = all[i].block == all[std::size_t(current)].block;
    if (target == PasteTarget::pattern) {
      LayerFacts facts;
      facts.name = QString::fromStdString(all[i].name);
      facts.short_name = QString::fromStdString(short_name(all[i]));
      facts.role = QString::fromUtf8(name(all[i].role).data(), qsizetype(name(all[i].role).size()));
      facts.block = int(all[i].block);
      wanted = filter.matches(facts);
    }
    if (wanted) layers.push_back(int(i));
  }
  return layers;
}

Recipe with_settings(const Recipe& recipe, const Model& model, const CopiedSettings& settings, const std::vector<SettingField>& fields,
                     const std::vector<int>& layers) {
  const LayerScheme& s = settings.scheme;
  return with_own_settings(recipe, model, layers, [&](Override& own, const LayerInfo& layer) {
    for (const SettingField field : fields) switch (field) {
        case SettingField::method:
          own.method = s.method;
          break;
        case SettingField::weight_bits:
          own.weight_bits = s.weight.bits;
          break;
        case SettingField::group:
          if (s.weight.group_size == 0 || layer.in_features % s.weight.group_size == 0) own.group_size = s.weight.group_size;
          break;
        case SettingField::activation_bits:
          own.activation_bits = s.activation.bits;
          break;
        case SettingField::clip:
          own.clip = s.activation.clip;
          break;
        case SettingField::rank: {
          const double share = double(s.rank) / double(std::max<std::size_t>(1, settings.limit));
          own.rank = RankChoice{false, limit_of(layer) == settings.limit ? double(s.rank) : std::floor(share * double(limit_of(layer)))};
          break;
        }
        case SettingField::passes:
          own.iterations = s.iterations;
          break;
        case SettingField::deflate:
          own.deflate = s.deflate;
          break;
        case SettingField::damping:
          own.damping = s.damping;
          own.damping_toward = s.damping_toward;
          break;
      }
  });
}

}  // namespace lrc::app
