#pragma once
// Columns of the layer table: their widths, and which of them are shown.
#include <QPoint>
#include <functional>

class QTableView;

namespace lrc::app {

class LayerTableModel;

void set_up_columns(QTableView& table);
/// A menu of all columns with a check beside those that are shown; `chosen` is told when the person changed it.
void ask_for_columns(QTableView& table, const LayerTableModel& model, const QPoint& at, const std::function<void()>& chosen);

}  // namespace lrc::app
