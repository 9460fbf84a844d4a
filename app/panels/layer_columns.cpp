#include "panels/layer_columns.h"

#include <QHeaderView>
#include <QMenu>
#include <QSettings>
#include <QTableView>

#include "models/layer_table_model.h"

namespace lrc::app {

void set_up_columns(QTableView& table) {
  const auto widths = [&](const QString& widest) { return table.fontMetrics().horizontalAdvance(widest) + 12; };
  QHeaderView& header = *table.horizontalHeader();
  header.setSectionResizeMode(QHeaderView::Interactive);
  table.setColumnWidth(LayerTableModel::marks, 18);
  table.setColumnWidth(LayerTableModel::layer, widths("29.down_proj"));
  table.setColumnWidth(LayerTableModel::shape, widths("1536 × 1536"));
  table.setColumnWidth(LayerTableModel::bits, widths("Bits"));
  table.setColumnWidth(LayerTableModel::rank, widths("Rank"));
  table.setColumnWidth(LayerTableModel::size, widths("16.00"));
  table.setColumnWidth(LayerTableModel::error, widths("0.01 … 100 %") + 24);
  table.setColumnWidth(LayerTableModel::error_a, widths("0.00245"));
  table.setColumnWidth(LayerTableModel::error_b, widths(QStringLiteral("≈ 0.00245")));
  for (const int number :
       {LayerTableModel::reduction, LayerTableModel::held_out, LayerTableModel::weights_only, LayerTableModel::activations_only})
    table.setColumnWidth(number, widths("Activations ▾"));
  table.setColumnWidth(LayerTableModel::share, widths("Share ▾"));
  table.setColumnWidth(LayerTableModel::sensitivity, widths(QStringLiteral("≈ 0.128")));
  header.setSectionResizeMode(LayerTableModel::error, QHeaderView::Stretch);
  header.setSectionResizeMode(LayerTableModel::marks, QHeaderView::Fixed);
  const QStringList hidden = QSettings().value("layers/hidden", QStringList{"9", "10", "11", "12", "13"}).toStringList();
  for (int i = 2; i < LayerTableModel::column_count; ++i) table.setColumnHidden(i, hidden.contains(QString::number(i)));
}

void ask_for_columns(QTableView& table, const LayerTableModel& model, const QPoint& at, const std::function<void()>& chosen) {
  QMenu menu(&table);
  for (int column = LayerTableModel::shape; column < LayerTableModel::column_count; ++column) {
    const QString unit = model.headerData(column, Qt::Horizontal, LayerTableModel::unit_role).toString();
    const QString name = model.headerData(column, Qt::Horizontal, Qt::DisplayRole).toString();
    QAction* action = menu.addAction(unit.isEmpty() ? name : QString("%1, %2").arg(name, unit));
    action->setCheckable(true);
    action->setChecked(!table.isColumnHidden(column));
    QObject::connect(action, &QAction::toggled, &table, [&table, column, chosen](bool shown) {
      table.setColumnHidden(column, !shown);
      chosen();
      QStringList hidden;
      for (int i = 2; i < LayerTableModel::column_count; ++i)
        if (table.isColumnHidden(i)) hidden << QString::number(i);
      QSettings().setValue("layers/hidden", hidden);
    });
  }
  menu.exec(at);
}

}  // namespace lrc::app
