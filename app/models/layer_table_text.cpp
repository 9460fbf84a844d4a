// What the cells and headings of the layer table say.
#include <QPointF>
#include <cmath>

#include "models/draft_edits.h"
#include "models/layer_table_model.h"
#include "models/notebook.h"
#include "models/recipe_rules.h"
#include "plot_style.h"

namespace lrc::app {

namespace {

QString percent_text(double fraction) { return std::isnan(fraction) ? QString("–") : format_error(fraction); }

}  // namespace

QVariant LayerTableModel::headerData(int section, Qt::Orientation orientation, int role) const {
  if (orientation != Qt::Horizontal) return {};
  struct Title {
    const char *name, *unit, *tip;
  };
  static constexpr Title titles[column_count] = {
      {"", "", "Purple bar: differs from the model-wide recipe. Amber dot: differs from what the run did. Corner: has a note."},
      {"Layer", "block.role", "The full tensor name is in the tooltip of each row."},
      {"Shape", "out × in", "Outputs × inputs of the weight."},
      {"Bits", "W", "Bits of a weight code. Type a number, +1 or −1: it goes to all selected rows."},
      {"Rank", "", "Rank of the correction. Type 86, +5, *1.5 or 10%: it goes to all selected rows."},
      {"Size", "b/w", "Bits per weight with scales and factors. Bar: codes, scales, factors."},
      {"A → B", "%", "Output error of A ● and B ◆ on a logarithmic axis; | is the lower bound at B's rank."},
      {"A", "%", "‖WX − output‖² ÷ ‖WX‖². For the original: B's scheme without a branch."},
      {"B", "%", "‖WX − output‖² ÷ ‖WX‖² over the calibration tokens."},
      {"Reduction", "%", "1 − B ÷ A"},
      {"Held-out", "%", "The error on text that was not calibrated on; amber above 1.3 × B."},
      {"Weights", "only, %", "Error of B's codes with unquantized activations, without a branch."},
      {"Activations", "only, %", "Error of quantized activations with the original weight."},
      {"Share", "%", "Of the model's error times size."},
      {"Sens.", "mnat", "KL that the model has when this layer alone is quantized. ≈: of plain quantization, scaled to B's error."},
  };
  const Title& title = titles[section];
  if (role == Qt::DisplayRole) return tr(title.name);
  if (role == unit_role) return tr(title.unit);
  if (role == Qt::InitialSortOrderRole && section >= size && section != reduction) return Qt::DescendingOrder;  // the worst first
  if (role == axis_role) return QPointF(axis_low_, axis_high_);
  if (role == Qt::ToolTipRole) return tr(title.tip);
  if (role == Qt::TextAlignmentRole) return int((section == layer || section == error ? Qt::AlignLeft : Qt::AlignRight) | Qt::AlignVCenter);
  return {};
}

QVariant LayerTableModel::data(const QModelIndex& index, int role) const {
  if (!index.isValid()) return {};
  const LayerRow& row = rows_[std::size_t(index.row())];
  const auto value = [&] { return this->value(index.row(), index.column()); };
  if (role == sort_role) return value();
  if (role == Qt::DisplayRole || role == Qt::EditRole) {
    switch (index.column()) {
      case marks:
        return {};
      case layer:
        return row.facts.short_name;
      case shape:
        return QString("%1 × %2").arg(row.out_features).arg(row.in_features);
      case bits:
        if (!row.scheme) return QString("–");
        return row.scheme->skipped ? tr("float") : QString::number(row.scheme->weight.bits);
      case rank:
        return row.scheme ? QString::number(row.scheme->rank) : QString("–");
      case size:
        return std::isnan(value()) ? QString("–") : format_bits(value());
      case reduction:
        return std::isnan(value())
                   ? QString("–")
                   : QString("%1%2").arg(value() > 0 ? QString(QChar(0x2212)) : "+").arg(std::abs(value()) * 100, 0, 'f', 0);
      case share:
        return std::isnan(value()) ? QString("–") : QString::number(value() * 100, 'f', 1);
      case sensitivity:
        if (std::isnan(value())) return QString("–");
        return (row.sensitivity_estimated ? QStringLiteral("≈ ") : QString()) + format_kl(value() * 1000);
      case error_b:
        if (!std::isnan(row.draft)) return (row.draft_solved ? QString() : QStringLiteral("≈ ")) + format_error(row.draft);
        return percent_text(value());
      default:
        return percent_text(value());
    }
  }
  if (role == Qt::ToolTipRole) {
    if ((index.column() == error || index.column() == error_b) && !std::isnan(row.draft)) {
      const QString now = row.draft_solved ? tr("draft, solved alone: %1 %").arg(row.draft * 100, 0, 'g', 6)
                                           : tr("draft, predicted: %1 %; Shift+F5 solves it").arg(format_error(row.draft));
      return std::isnan(row.b) ? now : now + '\n' + tr("B, solved: %1 %").arg(row.b * 100, 0, 'g', 6);
    }
    if (index.column() == layer) {
      const QString note = Notebook::of(workspace_).layerNote(row.facts.name);
      return note.isEmpty() ? row.facts.name : row.facts.name + '\n' + note;
    }
    if (index.column() == rank && row.scheme) {
      const QString per_cent =
          tr("%1 % of min(in, out)").arg(double(row.scheme->rank) * 100 / double(std::min(row.out_features, row.in_features)), 0, 'f', 0);
      const QString chain = rank_chain(workspace_.draft(), workspace_.model()->layers()[std::size_t(index.row())]);
      return chain.isEmpty() ? per_cent : chain + '\n' + per_cent;
    }
    if (index.column() == bits && row.scheme) {
      const QString both = tr("weights %1 bits, activations %2 bits").arg(row.scheme->weight.bits).arg(row.scheme->activation.bits);
      const QString chain = bits_chain(workspace_.draft(), workspace_.model()->layers()[std::size_t(index.row())]);
      return chain.isEmpty() ? both : chain + '\n' + both;
    }
    if (index.column() == size && row.scheme) {
      const double weights = double(row.out_features * row.in_features);
      return tr("codes %1, scales %2, factors %3 bits per weight")
          .arg(double(row.size.code_bits) / weights, 0, 'f', 2)
          .arg(double(row.size.scale_bits) / weights, 0, 'f', 3)
          .arg(double(row.size.factor_bits) / weights, 0, 'f', 2);
    }
    if (index.column() == weights_only && std::isnan(row.weights_only) && !std::isnan(row.rounded_alone))
      return tr("plain rounding of the rotated weight: %1 % of ‖W‖²; what it does to the output is known once the layer is solved")
          .arg(row.rounded_alone * 100, 0, 'g', 6);
    if (index.column() >= error && index.column() <= activations_only && !std::isnan(value())) {
      const double error_value = index.column() == reduction ? row.b : value();
      return tr("solved: %1 % of ‖WX‖², %2 dB, %3 % of the amplitude; lower bound of the regularised loss %4 %")
          .arg(error_value * 100, 0, 'g', 6)
          .arg(10 * std::log10(error_value), 0, 'f', 1)
          .arg(std::sqrt(error_value) * 100, 0, 'f', 1)
          .arg(percent_text(row.bound));
    }
    if (index.column() == sensitivity && !std::isnan(row.sensitivity))
      return row.sensitivity_estimated ? tr("estimate: %1 mnat; the plainly quantized layer’s, times what B leaves of its error")
                                             .arg(row.sensitivity * 1000, 0, 'g', 4)
                                       : tr("solved: %1 mnat per token").arg(row.sensitivity * 1000, 0, 'g', 6);
    if (index.column() == marks) {
      QStringList marks_text;
      if (row.facts.has_override) marks_text << tr("differs from the model-wide recipe");
      if (row.facts.pending) marks_text << tr("differs from what the run did");
      if (row.facts.has_note) marks_text << tr("note: %1").arg(Notebook::of(workspace_).layerNote(row.facts.name));
      return marks_text.join("; ");
    }
    return {};
  }
  if (role == Qt::TextAlignmentRole) return int((index.column() == layer ? Qt::AlignLeft : Qt::AlignRight) | Qt::AlignVCenter);
  if (role == Qt::AccessibleTextRole) {
    QString text = data(index, Qt::DisplayRole).toString();
    if (index.column() == marks) return data(index, Qt::ToolTipRole);
    if (index.column() >= error) text.replace(QStringLiteral("≈"), tr("predicted"));
    if (index.column() == sensitivity) return tr("sensitivity %1 millinats").arg(text);
    if (index.column() >= error)
      text = tr("%1 %2 per cent").arg(headerData(index.column(), Qt::Horizontal, Qt::DisplayRole).toString(), text);
    return text;
  }
  return {};
}

}  // namespace lrc::app
