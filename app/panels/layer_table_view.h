#pragma once
// How the layer table is drawn: two-line headers, marks, size bars, the dumbbell of errors.
#include <QHeaderView>
#include <QStyledItemDelegate>
#include <QTableView>

#include "models/layer_table_model.h"

namespace lrc::app {

/// Name over unit; the sort arrow; the logarithmic axis of the dumbbell; the shapes of A and B.
class LayerHeader : public QHeaderView {
  Q_OBJECT
 public:
  explicit LayerHeader(QWidget* parent);
  QSize sizeHint() const override;

 protected:
  void paintSection(QPainter* painter, const QRect& rect, int section) const override;
};

class LayerDelegate : public QStyledItemDelegate {
  Q_OBJECT
 public:
  LayerDelegate(LayerTableModel& model, LayerProxy& proxy, QObject* parent);
  void paint(QPainter* painter, const QStyleOptionViewItem& option, const QModelIndex& index) const override;
  QSize sizeHint(const QStyleOptionViewItem& option, const QModelIndex& index) const override;
  QWidget* createEditor(QWidget* parent, const QStyleOptionViewItem& option, const QModelIndex& index) const override;
  void setEditorData(QWidget* editor, const QModelIndex& index) const override;

 private:
  LayerTableModel& model_;
  LayerProxy& proxy_;
};

/// Places an error (a fraction) on the logarithmic axis from axis.x() to axis.y() per cent; 0…1, clamped.
double dumbbell_position(double fraction, const QPointF& axis);

/// Draws A's disc or B's diamond centred on a point; hollow for what is predicted.
void draw_marker(QPainter& painter, const QPointF& centre, double radius, bool is_a, bool hollow = false);

/// The table with the keys of the layer list.
class LayerTableView : public QTableView {
  Q_OBJECT
 public:
  explicit LayerTableView(QWidget* parent);

 signals:
  void layerActivated();
  void stepAsked(int blocks, int roles);
  void measureAsked(int measure);
  void resetAsked();
  void noteAsked();
  void copyAsked();
  void editAsked(int column);

 protected:
  void keyPressEvent(QKeyEvent* event) override;
};

}  // namespace lrc::app
