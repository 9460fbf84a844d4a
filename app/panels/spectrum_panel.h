#pragma once
// The spectrum panel's own parts: what it shows and when (spectrum_panel.cpp), the numbers below the plots (spectrum_readout.cpp).
#include <QGridLayout>
#include <cmath>

#include "models/draft_edits.h"
#include "panels/panel_widgets.h"
#include "panels/plot_tools.h"
#include "panels/spectrum_plots.h"
#include "workspace.h"

namespace lrc::app {

class SpectrumPanel : public QWidget, public PlotHooks {
 public:
  SpectrumPanel(Workspace& workspace, QWidget* parent);

  DataTable dataTable() const override;
  int pixelOf(double x) const override { return int(std::lround(plots_->lower()->xAxis->coordToPixel(x))); }
  QString hoverText(const QPoint& pixel) const override;

 protected:
  void changeEvent(QEvent* event) override;
  void resizeEvent(QResizeEvent* event) override;
  void showEvent(QShowEvent* event) override;

 private:
  const LayerInfo& info(int layer) const { return workspace_.model()->layers()[std::size_t(layer)]; }
  QString title(int layer) const { return QString::fromStdString(short_name(info(layer))); }
  std::vector<int> layersToShow() const;
  void choose();   ///< the layers to show changed
  void request();  ///< asks for the next curve that is missing
  void rebuild();  ///< curves from memory
  void followDraft();
  void moveTo(int rank, int gesture);
  void update(int rank);  ///< lines, fill, readout at this rank
  void updateRows(int rank);
  std::optional<ActivationScheme> measuredOtherwise() const;
  void explain();
  QString measureText() const;

  Workspace& workspace_;
  TitleControls* controls_;
  SegmentSwitch* mode_;
  QToolButton *pin_, *as_table_;
  Notice* notice_;
  SpectrumPlots* plots_;
  PlotTwin* twin_;
  ReadoutRow* readout_;
  QWidget* rows_;
  QGridLayout* rows_grid_;
  std::vector<ShownLayer> shown_;
  std::optional<ActivationScheme> otherwise_drawn_;  ///< measuredOtherwise() of what is drawn
  bool measuring_ = false;                           ///< when the sentence was last chosen
  bool only_worst_ = false;                          ///< nothing is selected; the worst layer stands in
  std::vector<int> pinned_;
  int cell_rank_, cell_predicted_, cell_bound_, cell_same_, cell_cost_, cell_adds_, cell_captured_;
};

}  // namespace lrc::app
