#pragma once
// The layers of the open model as a table: one row a layer, in the model's order. Values follow the draft, the slots and the
// run under way. Error figures are those of the manifest, relative to ‖WX‖².
#include <QAbstractTableModel>
#include <QSortFilterProxyModel>
#include <QTimer>
#include <optional>
#include <vector>

#include "correction/solve.h"
#include "models/layer_filter.h"
#include "workspace.h"

namespace lrc::app {

/// All that is shown about one layer. NaN = not known.
struct LayerRow {
  LayerFacts facts;
  std::size_t out_features = 0, in_features = 0;
  std::optional<LayerScheme> scheme;  ///< of the draft; absent where the choice is impossible
  LayerSize size;
  double a = 0, b = 0, bound = 0, held_out = 0, weights_only = 0, activations_only = 0, share = 0, reduction = 0;  ///< fractions
  bool rank_overridden = false, bits_overridden = false;
  /// Of the draft where it differs from B: solved alone, or estimated.
  double draft = 0;
  bool draft_solved = false;
  double rounded_alone = 0;  ///< of ‖W‖²: plain rounding, before anything is measured
  double sensitivity = 0;    ///< nats
  bool sensitivity_estimated = false;
};

class LayerTableModel : public QAbstractTableModel {
  Q_OBJECT
 public:
  enum Column {
    marks,
    layer,
    shape,
    bits,
    rank,
    size,
    error,
    error_a,
    error_b,
    reduction,
    held_out,
    weights_only,
    activations_only,
    share,
    sensitivity,
    column_count
  };
  static constexpr int sort_role = Qt::UserRole;      ///< double or text
  static constexpr int axis_role = Qt::UserRole + 2;  ///< QPointF: ends of the errors' logarithmic axis, in per cent
  static constexpr int unit_role = Qt::UserRole + 1;  ///< second line of the header

  explicit LayerTableModel(Workspace& workspace, QObject* parent = nullptr);

  int rowCount(const QModelIndex& parent = {}) const override { return parent.isValid() ? 0 : int(rows_.size()); }
  int columnCount(const QModelIndex& parent = {}) const override { return parent.isValid() ? 0 : column_count; }
  QVariant data(const QModelIndex& index, int role) const override;
  QVariant headerData(int section, Qt::Orientation orientation, int role) const override;
  Qt::ItemFlags flags(const QModelIndex& index) const override;
  /// A number or a formula (86, +5, *1.5, 10%) for bits or rank; goes to all selected layers when this row is one of them. One
  /// named undo step.
  bool setData(const QModelIndex& index, const QVariant& value, int role) override;

  /// What a column sorts by; NaN = not known.
  double value(int row, int column) const;
  const LayerRow& row(int index) const { return rows_[std::size_t(index)]; }
  const std::vector<LayerRow>& rows() const { return rows_; }
  double mostSensitive() const { return most_sensitive_; }  ///< nats, of any layer
  Slot shown_b() const;                                     ///< slot B, or the run under way while B holds the original
  /// Rows (in this order) as lines of tab-separated values with headers and units, full precision.
  QString as_tsv(const std::vector<int>& rows, const std::vector<int>& columns) const;

 signals:
  void refreshed();

 private:
  void rebuild();
  void refresh();
  /// The schemes of the run that the draft is held against: they change with the run, not with each edit.
  void fetch_reference(const RunEntry* reference);
  void fill_errors(int index, LayerRow& row) const;
  void fill_draft(int index, LayerRow& row);
  Workspace& workspace_;
  std::vector<LayerRow> rows_;
  int reference_ = 0;
  std::vector<std::optional<LayerScheme>> reference_schemes_;
  QTimer late_;  ///< curves come one by one; the table follows them together
  double axis_low_ = 0.5, axis_high_ = 20, most_sensitive_ = 0;
};

/// Sorts by value and keeps what the filter matches.
class LayerProxy : public QSortFilterProxyModel {
  Q_OBJECT
 public:
  explicit LayerProxy(LayerTableModel& model, QObject* parent = nullptr);
  /// An invalid filter leaves the last valid one in force.
  void setFilter(const LayerFilter& filter);
  bool accepts(int row) const { return filter_.matches(model_.row(row).facts); }

 protected:
  bool filterAcceptsRow(int row, const QModelIndex& parent) const override;
  bool lessThan(const QModelIndex& left, const QModelIndex& right) const override;

 private:
  LayerTableModel& model_;
  LayerFilter filter_;
};

}  // namespace lrc::app
