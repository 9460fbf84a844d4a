#pragma once
// One bar a token: how far B's prediction is from A's. A line under a bar: the top choice differs. Click jumps.
#include <QWidget>
#include <vector>

#include "inference/generate.h"

namespace lrc::app {

class DivergenceStrip : public QWidget {
  Q_OBJECT
 public:
  explicit DivergenceStrip(QWidget* parent);
  void setTokens(std::vector<TokenComparison> compared);
  void setCurrent(int token);
  int tokenAt(int x) const;  ///< −1: none
  int count() const { return int(compared_.size()); }
  QSize sizeHint() const override { return {320, 76}; }

 signals:
  void picked(int token);

 protected:
  void paintEvent(QPaintEvent* event) override;
  void mousePressEvent(QMouseEvent* event) override;
  void mouseMoveEvent(QMouseEvent* event) override;

 private:
  QRect plot() const;
  std::vector<TokenComparison> compared_;
  int current_ = -1;
};

}  // namespace lrc::app
