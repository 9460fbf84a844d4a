#pragma once
// Where one layer's error comes from, and what would help it: a sentence, bars, and a table whose rows can be tried.
#include <qcustomplot.h>

#include <QLabel>
#include <QWidget>
#include <vector>

#include "panels/plot_tools.h"
#include "workspace.h"

namespace lrc::app {

class HelpTable;

class SourcesView : public QWidget, public PlotHooks {
 public:
  SourcesView(Workspace& workspace, QWidget* parent);
  void refresh();
  /// Of the current layer in B, else of B's worst one; −1 when there is none.
  int currentLayer() const;
  QCustomPlot* plot() const { return plot_; }
  DataTable dataTable() const override;
  int pixelOf(double x) const override;
  QString hoverText(const QPoint& pixel) const override;
  void showTable(bool table) { twin_->showTable(table); }
  void showEstimates(bool shown);  ///< they never leave the window: hidden while something is exported

 protected:
  void resizeEvent(QResizeEvent* event) override;
  void showEvent(QShowEvent* event) override;
  void hideEvent(QHideEvent* event) override;

 private:
  enum class Kind { solved, bound, estimate };
  struct Bar {
    QString name;
    double value;  ///< relative to ‖WX‖²
    QColor colour;
    Kind kind = Kind::solved;
    QString text() const;  ///< "≥ 0.951", "≈ 6.31", "8.92"
  };
  void draw();
  void gather();
  void fit();  ///< the axis, so that the number behind the longest bar fits

  Workspace& workspace_;
  QLabel* sentence_;
  QCustomPlot* plot_;
  PlotTwin* twin_;
  HelpTable* help_;
  std::vector<Bar> bars_;
  bool with_estimates_ = true;
};

}  // namespace lrc::app
