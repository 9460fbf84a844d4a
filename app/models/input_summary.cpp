#include "models/input_summary.h"

#include <QObject>
#include <QStringList>
#include <algorithm>

namespace lrc::app {

namespace {

QString tr(const char* text) { return QObject::tr(text); }
QString bold(const QString& text) { return "<b>" + text + "</b>"; }
QString short_number(double value) {
  return value >= 100 ? QString::number(value, 'f', 0) : QString::number(value, 'g', 2 + (value >= 10));
}

QString percent(double share) {
  if (share > 0 && share < 0.0001) return QStringLiteral("< 0.01 %");
  return QString::number(100 * share, 'g', share >= 0.1 ? 3 : 2) + " %";
}

QString change(double before, double after, bool rotates) {
  return rotates ? short_number(before) + QStringLiteral(" → ") + short_number(after) : short_number(after);
}

QString listed(const std::vector<std::size_t>& numbers, std::size_t most) {
  QStringList words;
  for (std::size_t i = 0; i < std::min(numbers.size(), most); ++i) words << QString::number(numbers[i]);
  if (numbers.size() > most) return words.join(", ") + tr(" and %1 more").arg(numbers.size() - most);
  if (words.size() < 2) return words.join(QString());
  const QString last = words.takeLast();
  return words.join(", ") + tr(" and ") + last;
}

}  // namespace

QString rotation_name(SiteKind site) {
  switch (site) {
    case SiteKind::attention_input:
    case SiteKind::mlp_input:
      return QStringLiteral("R1");
    case SiteKind::attention_output:
      return QStringLiteral("R2");
    case SiteKind::mlp_hidden:
      return QStringLiteral("R4");
  }
  return {};
}

QString describe_distributions(const LayerDistributions& found, SiteKind site) {
  const Spread &before = found.input_before, &after = found.input_after;
  if (found.activation_scheme.off())
    return tr("Activations are not quantized here, so that no level is drawn: a token’s largest value is %1 × its rms.")
        .arg(bold(short_number(after.max_over_rms)));
  const QString levels = short_number(after.levels_of_grid);
  if (!found.rotates_input)
    return tr("Nothing rotates this input: %1 of %2 levels are in use, a token’s largest value is %3 × its rms.")
        .arg(bold(short_number(after.levels_in_use)), levels, bold(short_number(after.max_over_rms)));
  const QString in_use = bold(change(before.levels_in_use, after.levels_in_use, true)),
                ratio = bold(change(before.max_over_rms, after.max_over_rms, true)), name = rotation_name(site);
  if (after.levels_in_use > 1.15 * before.levels_in_use)
    return tr("%1 spreads the input: %2 of %3 levels are in use, a token’s largest value is %4 × its rms.")
        .arg(name, in_use, levels, ratio);
  if (after.levels_in_use < before.levels_in_use / 1.15)
    return tr("%1 does harm here: %2 of %3 levels are in use, a token’s largest value is %4 × its rms.").arg(name, in_use, levels, ratio);
  return tr("%1 changes little here: %2 of %3 levels are in use, a token’s largest value is %4 × its rms.")
      .arg(name, in_use, levels, ratio);
}

QString describe_spread(const Spread& before, const Spread& after, bool rotates) {
  QStringList parts;
  if (!after.levels.empty())
    parts
        << tr("levels in use %1 of %2").arg(change(before.levels_in_use, after.levels_in_use, rotates), short_number(after.levels_of_grid));
  parts << tr("max ÷ rms %1").arg(change(before.max_over_rms, after.max_over_rms, rotates));
  if (!after.levels.empty())
    parts << tr("clipped %1")
                 .arg(rotates ? percent(before.clipped) + QStringLiteral(" → ") + percent(after.clipped) : percent(after.clipped));
  return parts.join(QStringLiteral(" · "));
}

QString describe_channels(const ChannelMap& map, bool before, std::size_t block) {
  const auto& persistent = before ? map.persistent_before : map.persistent_after;
  const auto& profile = (before ? map.profile_before : map.profile_after)[block];
  std::vector<std::size_t> here;
  for (std::size_t c = 0; c < profile.size(); ++c)
    if (profile[c] > outlier_factor) here.push_back(c);
  std::stable_sort(here.begin(), here.end(), [&](std::size_t a, std::size_t b) { return profile[a] > profile[b]; });
  QString text;
  if (here.empty())
    text = tr("No channel of block %1 is above %2 × the median.").arg(block).arg(outlier_factor);
  else if (here.size() == 1)
    text = tr("Channel %1 of block %2 is %3 × the median.")
               .arg(bold(QString::number(here.front())))
               .arg(block)
               .arg(short_number(profile[here.front()]));
  else
    text = tr("Channels %1 of block %2 are above %3 × the median, the largest %4 ×.")
               .arg(bold(listed(here, 4)))
               .arg(block)
               .arg(outlier_factor)
               .arg(short_number(profile[here.front()]));
  if (!persistent.empty())
    text +=
        ' ' +
        tr("Channel %1 is so in blocks %2.").arg(bold(QString::number(persistent.front().channel)), listed(persistent.front().blocks, 6));
  return text;
}

QString describe_positions(const LayerDistributions& found) {
  if (found.positions.empty())
    return found.activation_scheme.off() ? tr("Activations are not quantized here, so that no error arises from them.")
                                         : tr("A router chooses the tokens of this layer; their positions are not known.");
  const auto worst = std::max_element(found.positions.begin(), found.positions.end(), [](const PositionShare& a, const PositionShare& b) {
    return a.error * std::max(b.tokens, 1e-12) < b.error * std::max(a.tokens, 1e-12);
  });
  const QString where =
      worst->first == worst->last ? tr("position %1").arg(worst->first) : tr("positions %1 to %2").arg(worst->first).arg(worst->last);
  return tr("%1 of the error of quantized activations arises at %2, %3 of the tokens.")
      .arg(bold(percent(worst->error)), where, percent(worst->tokens));
}

QString range_text(const PositionShare& share) {
  return share.first == share.last ? QString::number(share.first) : QString("%1 … %2").arg(share.first).arg(share.last);
}

}  // namespace lrc::app
