#pragma once
// The stages of a run side by side, each as wide as the time it takes, filled as far as it has come.
#include <QWidget>
#include <vector>

#include "models/run_stages.h"

namespace lrc::app {

class StageBar : public QWidget {
 public:
  explicit StageBar(QWidget* parent);
  void setStages(std::vector<Stage> stages);
  const std::vector<Stage>& stages() const { return stages_; }
  QSize sizeHint() const override;
  QSize minimumSizeHint() const override { return {120, sizeHint().height()}; }

 protected:
  void paintEvent(QPaintEvent* event) override;

 private:
  std::vector<Stage> stages_;
};

}  // namespace lrc::app
