#pragma once
// Two tabs of the Errors panel about what enters a layer: the distributions on their grids, and the channels.
#include <QWidget>

#include "panels/plot_tools.h"

namespace lrc::app {

class Workspace;

/// A tab that offers its numbers as a table, like the panel around it.
class PlotTab : public QWidget, public PlotHooks {
 public:
  using QWidget::QWidget;
  virtual void showTable(bool table) = 0;
};

PlotTab* make_distributions_tab(Workspace& workspace, QWidget* parent);
PlotTab* make_channels_tab(Workspace& workspace, QWidget* parent);

/// The layer that a tab about one layer shows: the current one, or the first.
int shown_layer(const Workspace& workspace);
/// What stands in a tab that has no sample of its layer: the reason, and the button that gets one.
class Notice;
void say_not_sampled(Notice& notice, Workspace& workspace);

}  // namespace lrc::app
