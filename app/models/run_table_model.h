#pragma once
// The runs of the workspace as a table: one row a run, newest first by default. Roles below carry what the delegate draws.
#include <QAbstractTableModel>
#include <QSortFilterProxyModel>

#include "models/run_filter.h"
#include "workspace.h"

namespace lrc::app {

class RunTableModel : public QAbstractTableModel {
  Q_OBJECT
 public:
  enum Column { slot, number, recipe, state, size, file, perplexity, kl, top1, time, column_count };
  enum Role { sort_role = Qt::UserRole, fraction_role, run_role };

  explicit RunTableModel(Workspace& workspace, QObject* parent);
  int rowCount(const QModelIndex& parent = {}) const override { return parent.isValid() ? 0 : int(workspace_.runs().size()); }
  int columnCount(const QModelIndex& parent = {}) const override { return parent.isValid() ? 0 : column_count; }
  QVariant data(const QModelIndex& index, int role) const override;
  QVariant headerData(int section, Qt::Orientation orientation, int role) const override;
  const RunEntry& run(int row) const { return workspace_.runs()[std::size_t(row)]; }
  int rowOf(int wanted) const;  ///< of the run with this number, or −1

 private:
  QString text(const RunEntry& run, int column) const;
  QVariant sortValue(const RunEntry& run, int column) const;
  QString tip(const RunEntry& run, int column) const;
  void reload();
  Workspace& workspace_;
};

class RunProxy : public QSortFilterProxyModel {
 public:
  RunProxy(RunTableModel& model, QObject* parent);
  void setFilter(RunFilter filter);

 protected:
  bool filterAcceptsRow(int row, const QModelIndex& parent) const override;

 private:
  RunTableModel& model_;
  RunFilter filter_;
};

}  // namespace lrc::app
