#pragma once
// How the runs table is drawn (slot badges, method markers, states with a bar) and its keys.
#include <QStyledItemDelegate>
#include <QTableView>

#include "models/run_table_model.h"

namespace lrc::app {

class RunDelegate : public QStyledItemDelegate {
 public:
  RunDelegate(Workspace& workspace, QObject* parent) : QStyledItemDelegate(parent), workspace_(workspace) {}
  void paint(QPainter* painter, const QStyleOptionViewItem& option, const QModelIndex& index) const override;

 private:
  Workspace& workspace_;
};

class RunTableView : public QTableView {
  Q_OBJECT
 public:
  explicit RunTableView(QWidget* parent);

 signals:
  void keyed(int key);  ///< Space, Delete, A, B, D

 protected:
  void keyPressEvent(QKeyEvent* event) override;
};

/// The square badge "A" or "B".
void draw_badge(QPainter& painter, const QRect& box, bool is_a);

}  // namespace lrc::app
