#pragma once
// Two tabs of the Errors panel about what enters a layer: the distributions on their grids, and the channels.
#include <QBoxLayout>
#include <QWidget>

#include "panels/plot_tools.h"

namespace lrc::app {

class Workspace;

/// A tab that offers its numbers as a table, like the panel around it. Where it is too low for its two plots one above the other,
/// they stand side by side; where it is lower than that, it scrolls: it must not set the height of the window.
class PlotTab : public QWidget, public PlotHooks {
 public:
  explicit PlotTab(QWidget* parent);
  virtual void showTable(bool table) = 0;
  virtual std::vector<QCustomPlot*> plots() const = 0;  ///< what an exported picture shows, from top to bottom

 protected:
  /// Asks for what is missing and draws; called when the tab comes to the front and when the theme changes.
  virtual void refresh() = 0;
  void showEvent(QShowEvent* event) override;
  void changeEvent(QEvent* event) override;
  void resizeEvent(QResizeEvent* event) override;
  QWidget* page() { return page_; }                 ///< what the tab's own parts are laid out on
  void setPair(QBoxLayout* pair) { pair_ = pair; }  ///< the layout of the two plots

 private:
  QWidget* page_;
  QBoxLayout* pair_ = nullptr;
};

PlotTab* make_distributions_tab(Workspace& workspace, QWidget* parent);
PlotTab* make_channels_tab(Workspace& workspace, QWidget* parent);

/// The layer that a tab about one layer shows: the current one, or the first.
int shown_layer(const Workspace& workspace);
/// What stands in a tab that has no sample of its layer: the reason, and the button that gets one.
class Notice;
void say_not_sampled(Notice& notice, Workspace& workspace);

}  // namespace lrc::app
