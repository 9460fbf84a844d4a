#include "models/layer_table_model.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "models/draft_edits.h"
#include "models/layer_lab.h"
#include "models/notebook.h"
#include "models/prediction.h"
#include "models/recipe_rules.h"
#include "models/sensitivities.h"
#include "models/weight_errors.h"
#include "plot_style.h"

namespace lrc::app {

namespace {

constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

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
  connect(&WeightErrors::of(workspace), &WeightErrors::changed, this, [this] {
    if (!late_.isActive()) late_.start();
  });
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
  reference_schemes_.clear();
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

void LayerTableModel::fetch_reference(const RunEntry* reference) {
  const int number = reference ? reference->number : 0;
  if (number == reference_ && reference_schemes_.size() == rows_.size()) return;
  reference_ = number;
  reference_schemes_.assign(rows_.size(), std::nullopt);
  if (!reference) return;
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    try {
      reference_schemes_[i] = effective_scheme(reference->manifest.recipe, workspace_.model()->layers()[i]);
    } catch (const Error&) {
      // The run's recipe does not fit this layer at all: nothing equals it.
    }
  }
}

void LayerTableModel::refresh() {
  if (!workspace_.hasModel() || rows_.size() != workspace_.model()->layers().size()) return;
  const auto& schemes = workspace_.draftSchemes();
  const auto& inherited = workspace_.inheritedSchemes();
  const RunEntry* reference = workspace_.referenceRun();
  fetch_reference(reference);
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
    row.facts.pending = reference && schemes[i] && reference_schemes_[i] != schemes[i];
    row.facts.has_note = !notebook.layerNote(row.facts.name).isEmpty();
    fill_errors(int(i), row);
    fill_draft(int(i), row);
    row.rounded_alone = WeightErrors::of(workspace_).value(int(i)).value_or(unknown);
    const auto sensitive = Sensitivities::of(workspace_).value(int(i));
    row.sensitivity = sensitive ? sensitive->nats : unknown;
    row.sensitivity_estimated = sensitive && sensitive->estimated;
    if (sensitive) most_sensitive_ = std::max(most_sensitive_, sensitive->nats);
    row.facts.weights_only = value(int(i), weights_only) * 100;
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

double LayerTableModel::value(int index, int column) const {
  const LayerRow& row = rows_[std::size_t(index)];
  switch (column) {
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
      return std::isnan(row.weights_only) ? row.rounded_alone : row.weights_only;
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
      return index;
  }
}

Qt::ItemFlags LayerTableModel::flags(const QModelIndex& index) const {
  Qt::ItemFlags flags = QAbstractTableModel::flags(index);
  if (index.column() == bits || index.column() == rank) flags |= Qt::ItemIsEditable;
  return flags;
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
        // Nor does what rounding does without inputs stand below a heading that counts them.
        if ((column == sensitivity && rows_[std::size_t(row)].sensitivity_estimated) ||
            (column == weights_only && std::isnan(rows_[std::size_t(row)].weights_only))) {
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
  const double a = model_.value(left.row(), left.column()), b = model_.value(right.row(), right.column());
  // What is not known comes last in descending order, ties keep the model's order.
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && !std::isnan(b);
  if (a == b) return sortOrder() == Qt::AscendingOrder ? left.row() < right.row() : left.row() > right.row();
  return a < b;
}

}  // namespace lrc::app
