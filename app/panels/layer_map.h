#pragma once
// The map of a model: roles as rows, blocks as columns, one cell a layer, coloured by a measure. Selection is the workspace's.
#include <QWidget>
#include <functional>
#include <vector>

#include "models/layer_table_model.h"

namespace lrc::app {

class LayerMap : public QWidget {
  Q_OBJECT
 public:
  enum Measure { error_b, error_a, reduction, held_out, rank, size, weights_only, measure_count };
  LayerMap(Workspace& workspace, LayerTableModel& model, LayerProxy& proxy, QWidget* parent);

  static QString title(Measure measure);
  void setMeasure(Measure measure);
  Measure measure() const { return measure_; }
  bool hasValues(Measure measure) const;
  QSize sizeHint() const override;
  QSize minimumSizeHint() const override;
  QRect cellOf(int layer) const;  ///< where a layer is drawn
  int layerAt(const QPoint& point) const;
  /// Lower and upper end of the colour scale, as text with the unit; empty when nothing is known.
  std::pair<QString, QString> scaleTexts() const;

 signals:
  void scaleChanged();
  void activated(int layer);
  void filterAsked(const QString& expression);

 protected:
  bool event(QEvent* event) override;
  void paintEvent(QPaintEvent* event) override;
  void mousePressEvent(QMouseEvent* event) override;
  void mouseMoveEvent(QMouseEvent* event) override;
  void mouseReleaseEvent(QMouseEvent* event) override;
  void mouseDoubleClickEvent(QMouseEvent* event) override;
  void contextMenuEvent(QContextMenuEvent* event) override;
  void keyPressEvent(QKeyEvent* event) override;

 private:
  struct Geometry {
    int left, top, cell_width, cell_height, blocks;
  };
  Geometry geometry_now() const;
  double value(int layer, Measure measure) const;
  void update_scale();
  std::vector<int> layers_in(const QRect& area) const;
  void move_current(int block_step, int row_step);
  void count();                       ///< rows and blocks of the model that was opened
  int rows() const { return rows_; }  ///< layers of a block
  int rowOf(int layer) const;         ///< where in its block
  QString row_title(int row) const;   ///< "down", "3.up"
  int find(int block, int row) const;

  Workspace& workspace_;
  LayerTableModel& model_;
  LayerProxy& proxy_;
  Measure measure_ = error_b;
  double low_ = 0, high_ = 0;
  bool logarithmic_ = false;
  int rows_ = 0, blocks_ = 0;
  QPoint press_;
  QRect band_;
  std::vector<int> before_drag_;
};

}  // namespace lrc::app
