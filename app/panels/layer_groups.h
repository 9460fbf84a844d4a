#pragma once
// The layers by role or block: a row a group with its sums, its layers below it. Selecting a group selects its layers.
#include <QTreeWidget>

#include "models/layer_table_model.h"

namespace lrc::app {

class LayerGroups : public QTreeWidget {
  Q_OBJECT
 public:
  enum class By { role, block };
  enum Column { name, layers, mean_error, worst_error, rank, size, megabytes, column_count };
  LayerGroups(Workspace& workspace, LayerTableModel& model, LayerProxy& proxy, QWidget* parent);
  void setBy(By by);
  void refresh();        ///< the rows that the filter lets through
  void showSelection();  ///< of the workspace

 signals:
  void layerActivated();

 protected:
  void keyPressEvent(QKeyEvent* event) override;

 private:
  void take();
  Workspace& workspace_;
  LayerTableModel& model_;
  LayerProxy& proxy_;
  By by_ = By::role;
  bool showing_ = false;
};

}  // namespace lrc::app
