#pragma once
// The Allocator tab: predicted loss against budget, uniform and allocated; the ranks that it would set; constraints; Apply.
#include <qcustomplot.h>

#include <QWidget>

#include "models/allocator.h"
#include "panels/plot_tools.h"

class QCheckBox;
class QDoubleSpinBox;
class QLabel;
class QPushButton;
class QSpinBox;

namespace lrc::app {

class AllocatorMap;
class Notice;

class AllocatorView : public QWidget, public PlotHooks {
 public:
  AllocatorView(Workspace& workspace, QWidget* parent);
  DataTable dataTable() const override;
  int pixelOf(double x) const override { return int(std::lround(plot_->xAxis->coordToPixel(x))); }
  QString hoverText(const QPoint& pixel) const override;
  void showTable(bool table) { twin_->showTable(table); }

 protected:
  void changeEvent(QEvent* event) override;

 private:
  void refresh();
  void draw();
  void explain();
  void takeOptions();

  Workspace& workspace_;
  Allocator& allocator_;
  QLabel* sentence_;
  Notice* notice_;
  QCustomPlot* plot_;
  PlotTwin* twin_;
  AllocatorMap* map_;
  QSpinBox *step_, *most_;
  QCheckBox *keep_, *bits_, *kl_;
  QPushButton* apply_;
  QWidget* pictures_;
  bool showing_ = false;
};

}  // namespace lrc::app
