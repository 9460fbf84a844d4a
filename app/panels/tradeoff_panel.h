#pragma once
// The trade-off panel's own parts: what it is made of and how it answers (tradeoff_panel.cpp), what it draws (tradeoff_drawing.cpp).
#include <QCheckBox>
#include <QComboBox>
#include <cmath>

#include "models/run_selection.h"
#include "models/tradeoff_points.h"
#include "panels/panel_widgets.h"
#include "panels/plot_tools.h"
#include "workspace.h"

namespace lrc::app {

class TradeoffPanel : public QWidget, public PlotHooks {
 public:
  TradeoffPanel(Workspace& workspace, QWidget* parent);
  DataTable dataTable() const override;
  int pixelOf(double x) const override { return int(std::lround(plot_->xAxis->coordToPixel(x))); }
  QString hoverText(const QPoint& pixel) const override;

 protected:
  void changeEvent(QEvent* event) override;
  bool eventFilter(QObject* object, QEvent* event) override;

 private:
  static constexpr double band = 0.03;  ///< what counts as the same bytes
  void refresh();
  void explain();
  void drawFrontier();
  void drawPoints();
  void drawComing(double low);
  void addName(const QString& name, double bits_per_weight, double quality, const QColor& colour, Qt::Alignment wanted, int order);
  void placeNames();
  void drawGround(double low, double high);
  const TradeoffPoint* at(const QPoint& pixel) const;
  const ComingPoint* comingAt(const QPoint& pixel) const;
  double heightOf(const ComingPoint& point) const;  ///< without an estimate it stands on the lower edge
  Quality quality() const { return Quality(y_->currentIndex()); }
  bool key(QKeyEvent* event);
  void askMatch(int run, const QPoint& where);

  Workspace& workspace_;
  RunSelection& selection_;
  TitleControls* controls_;
  QComboBox* y_;
  SegmentSwitch* activations_;
  QCheckBox *frontier_, *plain_;
  Notice* notice_;
  QCustomPlot* plot_;
  PlotTwin* twin_;
  QLabel* legend_;
  Tradeoff tradeoff_;
  /// The name beside a point; those of A, B and the chosen run have the first choice of a place.
  struct Name {
    QCPItemText* text;
    double bits_per_weight, quality;
    Qt::Alignment wanted;
    int order;
  };
  std::vector<Name> names_;
  bool show_estimates_ = true;
};

}  // namespace lrc::app
