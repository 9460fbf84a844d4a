#pragma once
// Where one layer's error comes from, and what would help it: a sentence, bars, and a table whose rows can be tried.
#include <qcustomplot.h>

#include <QLabel>
#include <QWidget>

#include "workspace.h"

namespace lrc::app {

class HelpTable;

class SourcesView : public QWidget {
 public:
  SourcesView(Workspace& workspace, QWidget* parent);
  void refresh();

 protected:
  void showEvent(QShowEvent* event) override;
  void hideEvent(QHideEvent* event) override;

 private:
  /// Of the current layer in B, else of B's worst one; −1 when there is none.
  int currentLayer() const;
  void draw();

  Workspace& workspace_;
  QLabel* sentence_;
  QCustomPlot* plot_;
  HelpTable* help_;
};

}  // namespace lrc::app
