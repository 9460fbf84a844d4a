#include "models/layer_table_model.h"

#include <QPointF>
#include <algorithm>
#include <cmath>
#include <limits>

#include "models/draft_edits.h"
#include "models/layer_lab.h"
#include "models/notebook.h"
#include "models/prediction.h"
#include "models/recipe_rules.h"
#include "models/sensitivities.h"
#include "plot_style.h"

namespace lrc::app {

namespace {

constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

QString percent_text(double fraction) { return std::isnan(fraction) ? QString("–") : format_error(fraction); }

}  // namespace

LayerTableModel::LayerTableModel(Workspace& workspace, QObject* parent) : QAbstractTableModel(parent), workspace_(workspace) {
  connect(&workspace, &Workspace::modelOpened, this, &LayerTableModel::rebuild);
  connect(&workspace, &Workspace::draftChanged, this, &LayerTableModel::refresh);
  connect(&workspace, &Workspace::slotsChanged, this, &LayerTableModel::refresh);
  connect(&workspace, &Workspace::runsChanged, this, &LayerTableModel::refresh);
  connect(&workspace, &Workspace::layerFinished, this, [this](int number, const QString&) {
    const Slot b = shown_b(), a = workspace_.slotA();
    if (b.run == number || a.run == number) refresh();
  });
  connect(&Notebook::of(workspace), &Notebook::changed, this, &LayerTableModel::refresh);
  connect(&LayerLab::of(workspace), &LayerLab::solvedChanged, this, &LayerTableModel::refresh);
  connect(&Sensitivities::of(workspace), &Sensitivities::changed, this, &LayerTableModel::refresh);
  late_.setSingleShot(true);
  late_.setInterval(40);
  connect(&late_, &QTimer::timeout, this, &LayerTableModel::refresh);
  const auto later = [this](int changed) {
    if (std::size_t(changed) < rows_.size() && rows_[std::size_t(changed)].facts.pending && !late_.isActive()) late_.start();
  };
  connect(&workspace, &Workspace::spectrumReady, this, later);
  // Curves of layers that are left behind are no longer fetched: those of pending ones are asked for again.
  connect(&workspace, &Workspace::selectionChanged, this, [this] {
    const bool waits = std::ranges::any_of(rows_, [](const LayerRow& row) { return row.facts.pending && std::isnan(row.draft); });
    if (waits && !late_.isActive()) late_.start();
  });
  if (workspace.hasModel()) rebuild();
}

Slot LayerTableModel::shown_b() const {
  const Slot b = workspace_.slotB();
  if (b.run) return b;
  if (const RunEntry* running = workspace_.runningRun(); running && !workspace_.slotA().run) return {running->number};
  return b;
}

void LayerTableModel::rebuild() {
  beginResetModel();
  rows_.clear();
  for (const LayerInfo& info : workspace_.model()->layers()) {
    LayerRow row;
    row.facts.name = QString::fromStdString(info.name);
    row.facts.short_name = QString::fromStdString(short_name(info));
    row.facts.role = QString::fromUtf8(lrc::name(info.role).data(), qsizetype(lrc::name(info.role).size()));
    row.facts.block = int(info.block);
    row.out_features = info.out_features;
    row.in_features = info.in_features;
    rows_.push_back(std::move(row));
  }
  refresh();
  endResetModel();
}

void LayerTableModel::fill_errors(int index, LayerRow& row) const {
  row.a = row.b = row.bound = row.held_out = row.weights_only = row.activations_only = row.reduction = row.share = unknown;
  const LayerRecord* a = workspace_.record(workspace_.slotA(), index);
  const LayerRecord* b = workspace_.record(shown_b(), index);
  if (a) row.a = a->loss;
  if (b) {
    row.b = b->loss;
    row.bound = b->lower_bound;
    row.held_out = b->held_out_loss.value_or(unknown);
    row.weights_only = b->weights_only;
    row.activations_only = b->activations_only;
  }
  // The original has no error of its own: beside a run it stands for the same scheme without a branch.
  if (!a && b && !workspace_.slotA().run) row.a = b->loss_uncorrected;
  if (!b && a && !workspace_.slotB().run) row.b = a->loss_uncorrected;
  if (row.a > 0 && !std::isnan(row.b)) row.reduction = 1 - row.b / row.a;
}

void LayerTableModel::fill_draft(int index, LayerRow& row) {
  row.draft = unknown;
  row.draft_solved = false;
  if (const SolvedAlone* alone = LayerLab::of(workspace_).solved(index); alone && (row.facts.pending || std::isnan(row.b))) {
    row.draft = alone->record.loss;
    row.draft_solved = true;
  } else if (row.facts.pending) {
    row.draft = predicted_loss(workspace_, index).value_or(unknown);
  }
}

void LayerTableModel::refresh() {
  if (!workspace_.hasModel() || rows_.size() != workspace_.model()->layers().size()) return;
  const auto& schemes = workspace_.draftSchemes();
  const auto& inherited = workspace_.inheritedSchemes();
  const RunEntry* reference = workspace_.referenceRun();
  const Notebook& notebook = Notebook::of(workspace_);
  double total = 0;
  most_sensitive_ = 0;
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    LayerRow& row = rows_[i];
    row.scheme = schemes[i];
    row.size = row.scheme ? layer_size(*row.scheme, row.out_features, row.in_features) : LayerSize{};
    row.facts.has_override = schemes[i] != inherited[i];
    row.rank_overridden = schemes[i] && inherited[i] && schemes[i]->rank != inherited[i]->rank;
    row.bits_overridden = schemes[i] && inherited[i] && schemes[i]->weight.bits != inherited[i]->weight.bits;
    row.facts.pending = false;
    if (reference && schemes[i]) {
      try {
        row.facts.pending = !(effective_scheme(reference->manifest.recipe, workspace_.model()->layers()[i]) == *schemes[i]);
      } catch (const Error&) {
        row.facts.pending = true;  // the run's recipe does not fit this layer at all
      }
    }
    row.facts.has_note = !notebook.layerNote(row.facts.name).isEmpty();
    fill_errors(int(i), row);
    fill_draft(int(i), row);
    const auto sensitive = Sensitivities::of(workspace_).value(int(i));
    row.sensitivity = sensitive ? sensitive->nats : unknown;
    row.sensitivity_estimated = sensitive && sensitive->estimated;
    if (sensitive) most_sensitive_ = std::max(most_sensitive_, sensitive->nats);
    row.facts.weights_only = row.weights_only * 100;
    row.facts.activations_only = row.activations_only * 100;
    row.facts.rank = row.scheme ? double(row.scheme->rank) : unknown;
    row.facts.bits = row.scheme ? double(row.scheme->weight.bits) : unknown;
    row.facts.size = row.scheme ? row.size.bits_per_weight(row.out_features * row.in_features) : unknown;
    row.facts.error_a = row.a * 100;
    row.facts.error_b = row.b * 100;
    row.facts.held_out = row.held_out * 100;
    row.facts.reduction = row.reduction * 100;
    if (!std::isnan(row.b)) total += row.b * double(row.out_features * row.in_features);
  }
  for (LayerRow& row : rows_) {
    if (total > 0 && !std::isnan(row.b)) row.share = row.b * double(row.out_features * row.in_features) / total;
    row.facts.share = row.share * 100;
  }
  // 0.5…20 % holds most models; where errors lie outside, the axis grows by decades.
  axis_low_ = 0.5, axis_high_ = 20;
  for (const LayerRow& row : rows_)
    for (const double error_value : {row.a, row.b, row.draft}) {
      if (std::isnan(error_value) || error_value <= 0) continue;
      if (error_value * 100 < axis_low_) axis_low_ = std::pow(10.0, std::floor(std::log10(error_value * 100)));
      if (error_value * 100 > axis_high_) axis_high_ = std::pow(10.0, std::ceil(std::log10(error_value * 100)));
    }
  if (!rows_.empty()) emit dataChanged(index(0, 0), index(int(rows_.size()) - 1, column_count - 1));
  emit headerDataChanged(Qt::Horizontal, 0, column_count - 1);
  emit refreshed();
}

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
  if (role == axis_role) return QPointF(axis_low_, axis_high_);
  if (role == Qt::ToolTipRole) return tr(title.tip);
  if (role == Qt::TextAlignmentRole) return int((section == layer || section == error ? Qt::AlignLeft : Qt::AlignRight) | Qt::AlignVCenter);
  return {};
}

Qt::ItemFlags LayerTableModel::flags(const QModelIndex& index) const {
  Qt::ItemFlags flags = QAbstractTableModel::flags(index);
  if (index.column() == bits || index.column() == rank) flags |= Qt::ItemIsEditable;
  return flags;
}

QVariant LayerTableModel::data(const QModelIndex& index, int role) const {
  if (!index.isValid()) return {};
  const LayerRow& row = rows_[std::size_t(index.row())];
  const auto value = [&]() -> double {
    switch (index.column()) {
      case bits:
        return row.facts.bits;
      case rank:
        return row.facts.rank;
      case size:
        return row.facts.size;
      case error:
      case error_b:
        return row.b;
      case error_a:
        return row.a;
      case reduction:
        return row.reduction;
      case held_out:
        return row.held_out;
      case weights_only:
        return row.weights_only;
      case activations_only:
        return row.activations_only;
      case share:
        return row.share;
      case sensitivity:
        return row.sensitivity;
      case shape:
        return double(row.out_features * row.in_features);
      case marks:
        return (row.facts.has_override ? 2 : 0) + (row.facts.pending ? 1 : 0);
      default:
        return index.row();
    }
  };
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

bool LayerTableModel::setData(const QModelIndex& index, const QVariant& value, int role) {
  if (role != Qt::EditRole || (index.column() != rank && index.column() != bits)) return false;
  const auto formula = parse_formula(value.toString().toStdString());
  if (!formula) {
    workspace_.log(LogLevel::warning, tr("“%1” is no number or formula such as 86, +5, *1.5, 10%").arg(value.toString()));
    return false;
  }
  std::vector<int> layers = workspace_.selectedLayers();
  if (std::find(layers.begin(), layers.end(), index.row()) == layers.end()) layers = {index.row()};
  const Model& model = *workspace_.model();
  const QString of = QString::fromStdString(describe_layers(model, layers));
  try {
    if (index.column() == rank)
      workspace_.editDraft(tr("Rank of %1 → %2").arg(of, value.toString()), with_rank_formula(workspace_.draft(), model, layers, *formula));
    else
      workspace_.editDraft(tr("Bits of %1 → %2").arg(of, value.toString()), with_bits_formula(workspace_.draft(), model, layers, *formula));
  } catch (const Error& failure) {
    workspace_.log(LogLevel::warning, QString::fromUtf8(failure.what()));
    return false;
  }
  return true;
}

QString LayerTableModel::as_tsv(const std::vector<int>& rows, const std::vector<int>& columns) const {
  QStringList lines, titles;
  for (const int column : columns) {
    if (column == marks || column == error) continue;
    const QString unit = headerData(column, Qt::Horizontal, unit_role).toString();
    const QString name = headerData(column, Qt::Horizontal, Qt::DisplayRole).toString();
    titles << (unit.isEmpty() || column == layer ? name : QString("%1 (%2)").arg(name, unit));
  }
  lines << titles.join('\t');
  for (const int row : rows) {
    QStringList cells;
    for (const int column : columns) {
      if (column == marks || column == error) continue;
      const QModelIndex cell = index(row, column);
      if (column == layer) {
        cells << rows_[std::size_t(row)].facts.name;
      } else if (column == shape) {
        cells << data(cell, Qt::DisplayRole).toString();
      } else {
        const double number = data(cell, sort_role).toDouble();
        const double shown = column == sensitivity ? number * 1000 : column >= error_a ? number * 100 : number;
        // An estimate never leaves the window.
        if (column == sensitivity && rows_[std::size_t(row)].sensitivity_estimated) {
          cells << QString();
          continue;
        }
        cells << (std::isnan(number) ? QString() : QString::number(shown, 'g', 9));
      }
    }
    lines << cells.join('\t');
  }
  return lines.join('\n') + '\n';
}

// ---- Proxy -------------------------------------------------------------------------------------------------------------

LayerProxy::LayerProxy(LayerTableModel& model, QObject* parent) : QSortFilterProxyModel(parent), model_(model) {
  setSourceModel(&model);
  setSortRole(LayerTableModel::sort_role);
  setDynamicSortFilter(true);
}

void LayerProxy::setFilter(const LayerFilter& filter) {
  if (!filter.valid()) return;
  filter_ = filter;
  invalidateFilter();
}

bool LayerProxy::filterAcceptsRow(int row, const QModelIndex&) const { return accepts(row); }

bool LayerProxy::lessThan(const QModelIndex& left, const QModelIndex& right) const {
  const double a = left.data(sortRole()).toDouble(), b = right.data(sortRole()).toDouble();
  // What is not known comes last in descending order, ties keep the model's order.
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && !std::isnan(b);
  if (a == b) return sortOrder() == Qt::AscendingOrder ? left.row() < right.row() : left.row() > right.row();
  return a < b;
}

}  // namespace lrc::app
