#pragma once
// What stands pinned at the bottom of the recipe: pending changes, the matched-bytes ruler, size, memory, time.
#include <QFrame>
#include <QWidget>
#include <optional>

#include "run/recipe.h"

class QLabel;
class QPushButton;

namespace lrc::app {

class ElidedLabel;
class Workspace;

/// Bits per weight on a line, with the plain formats of llama.cpp at their places and the draft as ▲.
class ForecastRuler : public QWidget {
  Q_OBJECT
 public:
  explicit ForecastRuler(QWidget* parent);
  void show_forecast(const std::optional<Forecast>& forecast, std::size_t weights);
  QSize sizeHint() const override;
  QSize minimumSizeHint() const override;

 protected:
  void paintEvent(QPaintEvent* event) override;

 private:
  double bits_ = 0, codes_ = 0, scales_ = 0, factors_ = 0;  ///< per weight; 0 = nothing to show
};

class ForecastView : public QWidget {
  Q_OBJECT
 public:
  ForecastView(Workspace& workspace, QWidget* parent);
  const std::optional<Forecast>& forecast() const { return forecast_; }

 signals:
  void forecastChanged();

 private:
  void ask();
  void show_numbers();
  Workspace& workspace_;
  std::optional<Forecast> forecast_;
  QString problem_;
  ForecastRuler* ruler_;
  QLabel *size_, *memory_, *time_;
  ElidedLabel *size_fact_, *memory_fact_, *time_fact_, *match_;
};

/// "3 changes since #7", one line each, and Revert.
class PendingView : public QFrame {
  Q_OBJECT
 public:
  PendingView(Workspace& workspace, QWidget* parent);

 protected:
  void paintEvent(QPaintEvent* event) override;

 private:
  void refresh();
  Workspace& workspace_;
  QLabel* title_;
  QPushButton* revert_;
  ElidedLabel *first_, *second_;
  bool any_ = false;
};

}  // namespace lrc::app
